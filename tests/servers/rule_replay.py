"""Rules evaluated over a past that did not happen: days in seconds, each evaluation as live.

vmalert replays rules on a VictoriaMetrics with synthetic samples, and writes what would have fired back to it.
`keep_firing_for` has no effect in a replay.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.servers.observability import VictoriaMetrics
from tests.servers.synthetic_metrics import SCRAPE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from tests.servers.synthetic_metrics import Series

TIMEOUT_SECONDS = 300.0
_SERIES = re.compile(r"([^{]+)(?:\{(.*)\})?$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_MAX_POINTS = 2000
_CONSTANT_SECONDS = 60
"""Interval of the samples of a value that never changes: shorter ones say the same."""


class Replay:
    """A past of an environment.

    Args:
        phases: seconds, and the series during them; the last phase ends now.
    """

    def __init__(self, phases: Sequence[tuple[int, Sequence[Series]]]) -> None:
        self._phases = phases
        seconds = sum(seconds for seconds, _ in phases)
        self._stack = ExitStack()
        self._start = (int(time.time()) - seconds) // 60 * 60
        self._end = self._start + seconds
        self._metrics = VictoriaMetrics("-retentionPeriod=1y", "-memory.allowedBytes=256MiB")

    def __enter__(self) -> Self:
        """Start VictoriaMetrics and write the samples."""
        self._stack.enter_context(self._metrics)
        for document in self._documents():
            self._post("/api/v1/import", json.dumps(document))
        self._flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop VictoriaMetrics."""
        self._stack.close()

    def evaluate(self, rules: str) -> None:
        """Evaluate rules at each of their intervals.

        Args:
            rules: text of the file of rules.
        """
        file = self._metrics.folder / "rules.yml"
        file.write_text(rules)
        begin, end = (dt.datetime.fromtimestamp(at, dt.UTC) for at in (self._start, self._end))
        subprocess.run(
            [
                *("vmalert", f"-rule={file}", f"-datasource.url={self._metrics.url}"),
                *(f"-remoteWrite.url={self._metrics.url}", f"-replay.timeFrom={begin:%Y-%m-%dT%H:%M:%SZ}"),
                *(f"-replay.timeTo={end:%Y-%m-%dT%H:%M:%SZ}", f"-replay.maxDatapointsPerQuery={_MAX_POINTS}"),
                *("-replay.disableProgressBar", "-replay.rulesDelay=0s", "-loggerLevel=ERROR"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
        )
        self._flush()

    def firing(self) -> list[tuple[dict[str, str], list[int]]]:
        """Return for each alert its labels, and the seconds since the start at which it fired."""
        parameters = {"match[]": 'ALERTS{alertstate="firing"}'}
        response = httpx.get(f"{self._metrics.url}/api/v1/export", params=parameters, timeout=TIMEOUT_SECONDS)
        rows = [json.loads(line) for line in response.raise_for_status().text.splitlines()]
        return [(row["metric"], [at // 1000 - self._start for at in row["timestamps"]]) for row in rows]

    def recorded(self, metric: str) -> float:
        """Return the number of recorded samples of a metric."""
        return sum(float(row["value"][1]) for row in self._query(f"count_over_time({metric}[1y])"))

    def _query(self, query: str) -> list[dict[str, Any]]:
        parameters = {"query": query, "time": str(self._end)}
        response = httpx.get(f"{self._metrics.url}/api/v1/query", params=parameters, timeout=TIMEOUT_SECONDS)
        rows: list[dict[str, Any]] = response.raise_for_status().json()["data"]["result"]
        return rows

    def _post(self, path: str, content: str) -> None:
        httpx.post(f"{self._metrics.url}{path}", content=content, timeout=TIMEOUT_SECONDS).raise_for_status()

    def _flush(self) -> None:
        httpx.get(f"{self._metrics.url}/internal/force_flush", timeout=TIMEOUT_SECONDS).raise_for_status()

    def _documents(self) -> Iterator[dict[str, Any]]:
        """Yield each series with its samples, as VictoriaMetrics imports them."""
        by_name = [{entry.name: entry for entry in series} for _, series in self._phases]
        for name, first in by_name[0].items():
            history = [series[name] for series in by_name]
            samples = list(self._samples(history))
            metric, labels = _SERIES.fullmatch(name).groups()  # type: ignore[union-attr]  # names are constants
            if samples:
                yield {
                    "metric": {"__name__": metric, **dict(_LABEL.findall(labels or ""))},
                    "values": [value + (self._start if first.since_now else 0) for _, value in samples],
                    "timestamps": [at * 1000 for at, _ in samples],
                }

    def _samples(self, history: Sequence[Series]) -> Iterator[tuple[int, float]]:
        is_constant = len({entry.value for entry in history}) == 1 and not history[0].counter
        step = _CONSTANT_SECONDS if is_constant else SCRAPE_SECONDS
        at, grown = self._start, 0.0
        for entry, (seconds, _) in zip(history, self._phases, strict=True):
            for _ in range(0, seconds, step):
                if entry.value is not None:
                    grown += entry.value * step
                    yield at, grown // 1 if entry.counter else entry.value
                at += step
