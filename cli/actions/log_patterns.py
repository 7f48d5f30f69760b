"""Patterns of log lines, mined with Drain, and compared with those of a baseline.

Numbers, ids, addresses and phone numbers are masked before anything is kept. Memory is bounded by the number
of patterns and the length of lines, not by the number of lines: the pattern that was unused for longest is
forgotten first.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from drain3 import TemplateMiner  # type: ignore[import-untyped]  # it has no types
from drain3.masking import MaskingInstruction  # type: ignore[import-untyped]  # same
from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-untyped]  # same
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import EsqError, UsageError
from infra.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cli.actions.pod_logs import LogLine

MAX_PATTERNS = 2_000
MAX_WORDS = 60
"""Words of a line that count: Drain keeps a tree per number of words."""
EXPLODED_FACTOR = 5.0
"""A pattern has exploded when its rate is this many times that of the baseline."""
MIN_EXPLODED_LINES = 20
"""Fewer lines are no explosion, whatever their rate was before."""
SIMILARITY = 0.5
"""Share of equal words of two lines with one pattern."""
TREE_DEPTH = 5
"""Number of words, workload and level tell patterns apart, whatever the similarity."""
_MASKS = (
    (r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", "ID"),
    (r"[\w.+-]+@[\w-]+\.[\w.-]+", "EMAIL"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?", "TIME"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?", "IP"),
    (r"\+\d[\d ()-]{6,}\d|\+\*{3}|(?<![\w.-])\d{10,15}(?![\w.-])", "PHONE"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b|\b0x[0-9a-fA-F]+\b", "HEX"),
    (r"(?<![A-Za-z0-9_<])[+-]?\d+(?:[.,]\d+)*", "NUM"),
)
_AGE = re.compile(r"(\d+)([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class PatternStatus(StrEnum):
    """How a pattern compares with the baseline."""

    EXPLODED = "exploded"
    NEW = "new"
    KNOWN = "known"
    UNCOMPARED = "no baseline"


_ORDER = tuple(PatternStatus)


@dataclass(frozen=True)
class Pattern:
    """A pattern of log lines.

    Attributes:
        text: workload, level and message; `<*>` and masks stand for what differs.
        lines: number of lines.
        per_minute: lines per minute.
        baseline_per_minute: the same in the baseline; None if it has no such pattern.
        status: how it compares with the baseline.
    """

    text: str
    lines: int
    per_minute: float
    baseline_per_minute: float | None
    status: PatternStatus

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "status": self.status.value}


class Baseline(BaseModel):
    """The patterns of a period that was normal.

    Attributes:
        recorded_at: end of the period (UTC).
        minutes: its length.
        lines: number of lines by pattern.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recorded_at: dt.datetime
    minutes: float
    lines: dict[str, int]


class PatternMiner:
    """Mines the patterns of lines, starting with those of a baseline: the same lines have the same pattern.

    Args:
        baseline: the baseline; None for none.
    """

    def __init__(self, baseline: Baseline | None = None) -> None:
        self._baseline = baseline
        config = TemplateMinerConfig()
        config.drain_sim_th = SIMILARITY
        config.drain_depth = TREE_DEPTH
        config.drain_max_clusters = MAX_PATTERNS
        config.parametrize_numeric_tokens = True
        config.masking_instructions = [MaskingInstruction(pattern, mask) for pattern, mask in _MASKS]
        self._miner = TemplateMiner(config=config)
        self._known: dict[int, str] = {}
        self._lines: dict[int, int] = {}
        for text in baseline.lines if baseline else ():
            self._known[self._miner.add_log_message(text)["cluster_id"]] = text

    def add(self, line: LogLine) -> None:
        """Add a line."""
        text = " ".join([line.source, line.level or "-", *line.message.split()[: MAX_WORDS - 2]])
        cluster = self._miner.add_log_message(text)["cluster_id"]
        self._lines[cluster] = self._lines.get(cluster, 0) + 1
        if len(self._lines) > 2 * MAX_PATTERNS:
            remembered = self._miner.drain.id_to_cluster
            self._lines = {number: count for number, count in self._lines.items() if number in remembered}

    def patterns(self, minutes: float) -> list[Pattern]:
        """Return the patterns of the added lines: exploded ones first, then new ones, by number of lines.

        Args:
            minutes: length of the period of the lines.
        """
        clusters = self._miner.drain.id_to_cluster
        patterns = [
            self._pattern(number, clusters[number].get_template(), lines, minutes)
            for number, lines in self._lines.items()
            if number in clusters
        ]
        order = (
            *(PatternStatus.EXPLODED, PatternStatus.NEW),
            *(PatternStatus.KNOWN, PatternStatus.UNCOMPARED),
        )
        return sorted(patterns, key=lambda pattern: (order.index(pattern.status), -pattern.lines))

    def _pattern(self, number: int, text: str, lines: int, minutes: float) -> Pattern:
        per_minute = lines / minutes
        if self._baseline is None:
            return Pattern(text, lines, per_minute, None, PatternStatus.UNCOMPARED)
        if number not in self._known:
            return Pattern(text, lines, per_minute, None, PatternStatus.NEW)
        before = self._baseline.lines[self._known[number]] / self._baseline.minutes
        has_exploded = lines >= MIN_EXPLODED_LINES and per_minute >= EXPLODED_FACTOR * before
        status = PatternStatus.EXPLODED if has_exploded else PatternStatus.KNOWN
        return Pattern(text, lines, per_minute, before, status)


def mine(lines: Iterable[LogLine], baseline: Baseline | None, minutes: float) -> list[Pattern]:
    """Return the patterns of lines.

    Args:
        lines: the lines, read once.
        baseline: what is normal; None for no comparison.
        minutes: length of the period of the lines.
    """
    miner = PatternMiner(baseline)
    for line in lines:
        miner.add(line)
    return miner.patterns(minutes)


def load_baseline(file: Path) -> Baseline | None:
    """Return a stored baseline; None without one.

    Raises:
        EsqError: it cannot be read.
    """
    try:
        return Baseline.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise EsqError(
            "the baseline of log patterns cannot be read",
            location=str(file),
            remedy="Record another one: `esq log-patterns ENV --save-baseline`.",
            detail=str(error)[:500],
        ) from error


def save_baseline(file: Path, patterns: Iterable[Pattern], minutes: float, now: dt.datetime) -> None:
    """Store the patterns of a normal period.

    Args:
        file: file of the baseline.
        patterns: the patterns.
        minutes: length of the period.
        now: end of the period (UTC).
    """
    lines = {pattern.text: pattern.lines for pattern in patterns}
    write_atomically(file, Baseline(recorded_at=now, minutes=minutes, lines=lines).model_dump_json(indent=1))


def parse_age(text: str) -> int:
    """Return an age such as `10m` or `1h` in seconds.

    Raises:
        UsageError: the text is none.
    """
    match = _AGE.fullmatch(text)
    if match is None or not int(match[1]):
        raise UsageError(f"`{text}` is no age", location="--since", remedy="Give e.g. 90s, 10m, 1h or 1d.")
    return int(match[1]) * _UNIT_SECONDS[match[2]]
