"""Evidence: a dated record of one measurement of one promise, kept under the environment's state.

A record is a file of its own, written whole or not at all and never changed, so that what was measured once
can be shown later together with where, on what and by which version it was.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is made
import os
import platform
import statistics
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import EsqError
from infra.shell import CommandFailedError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = Path(__file__).resolve().parents[1]


class Distribution(BaseModel):
    """The figures of all runs of a measurement.

    Attributes:
        values: one per run, in the order of the runs.
    """

    model_config = ConfigDict(frozen=True)

    values: tuple[float, ...] = Field(min_length=1)

    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The one in the middle, or the mean of the two."""
        return statistics.median(self.values)

    @property
    def most(self) -> float:
        """The largest."""
        return max(self.values)


class Evidence(BaseModel):
    """One measurement of one promise.

    Attributes:
        promise: its id.
        at: when it was made (UTC).
        environment: what it was made on.
        unit: of the figures.
        distribution: the figures.
        command: what made it.
        commit: of the code; ends in `+` when files were changed.
        versions: of what was measured, by name.
        host: facts of the machine: cores, memory, kernel, load before.
        detail: anything else that the measurement wants to keep, e.g. where its report is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    promise: str
    at: dt.datetime
    environment: str
    unit: str
    distribution: Distribution
    command: str
    commit: str
    versions: dict[str, str]
    host: dict[str, str | float]
    detail: dict[str, Any] = Field(default_factory=dict)


class EvidenceStore:
    """The evidence of one environment.

    Args:
        folder: its place; made when the first record is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, evidence: Evidence) -> Path:
        """Write a record; return its file."""
        folder = self._folder / evidence.promise
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stamp = evidence.at.strftime("%Y%m%dT%H%M%S%fZ")
        file, fresh = folder / f"{stamp}.json", folder / f".{stamp}.new"
        fresh.write_text(evidence.model_dump_json(indent=2))
        fresh.rename(file)
        return file

    def of(self, promise: str) -> list[Evidence]:
        """Return all records of a promise, the oldest first.

        Raises:
            EsqError: a record cannot be read; nothing is passed over in silence.
        """
        return [_read(file) for file in sorted((self._folder / promise).glob("*.json"))]

    def latest(self, promise: str) -> Evidence | None:
        """Return the last record of a promise."""
        files = sorted((self._folder / promise).glob("*.json"))
        return _read(files[-1]) if files else None


def _read(file: Path) -> Evidence:
    try:
        return Evidence.model_validate_json(file.read_text())
    except (OSError, ValidationError) as error:
        raise EsqError(
            "a record of evidence cannot be read",
            where=str(file),
            remedy="Repair it, or move it away and measure again.",
            detail=str(error)[:500],
        ) from error


def host_facts() -> dict[str, str | float]:
    """Return what a figure depends on besides the code."""
    memory = psutil.virtual_memory()
    return {
        "cores": float(os.cpu_count() or 0),
        "memory_gib": round(memory.total / (1 << 30), 1),
        "memory_available_gib": round(memory.available / (1 << 30), 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


@cache
def commit() -> str:
    """Return the commit of this checkout, with `+` when files were changed; `unknown` outside of one."""
    git = ["git", "-C", str(PROJECT)]
    try:
        found = run([*git, "rev-parse", "HEAD"], timeout=10).strip()
        changed = run([*git, "status", "--porcelain", "--untracked-files=no"], timeout=10).strip()
    except CommandFailedError:
        return "unknown"
    return f"{found}+" if changed else found


def versions(more: Sequence[str] = ("pulumi", "kubernetes", "chaostoolkit-lib")) -> dict[str, str]:
    """Return the versions of this toolkit and of the packages in `more`."""
    return {"python": platform.python_version(), **{name: version(name) for name in more}}
