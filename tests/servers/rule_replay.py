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
        series: its series; they keep their values.
        seconds: length of the past, which ends now.
    """

    def __init__(self, series: Sequence[Series], seconds: int) -> None:
        self._series = series
        self._stack = ExitStack()
        self._start = (int(time.time()) - seconds) // 60 * 60
        self._end = self._start + seconds
        self._metrics = VictoriaMetrics("-retentionPeriod=1y", "-memory.allowedBytes=256MiB")

    def __enter__(self) -> Self:
        """Start VictoriaMetrics and write the samples."""
        self._stack.enter_context(self._metrics)
        for entry in self._series:
            if entry.value is not None:
                self._post("/api/v1/import", json.dumps(self._document(entry)))
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
            timeout=TIMEOUT_SECONDS,
        )
        self._flush()

    def firing_evaluations(self) -> dict[str, float]:
        """Return in how many evaluations each alert fired; those that did not are absent."""
        rows = self._query('sum by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1y]))')
        return {row["metric"]["alertname"]: float(row["value"][1]) for row in rows}

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

    def _document(self, series: Series) -> dict[str, Any]:
        samples = list(self._samples(series))
        name, labels = _SERIES.fullmatch(series.name).groups()  # type: ignore[union-attr]  # names are constants
        return {
            "metric": {"__name__": name, **dict(_LABEL.findall(labels or ""))},
            "values": [value for _, value in samples],
            "timestamps": [at * 1000 for at, _ in samples],
        }

    def _samples(self, series: Series) -> Iterator[tuple[int, float]]:
        value = series.value or 0.0
        step = SCRAPE_SECONDS if series.counter else _CONSTANT_SECONDS
        for at in range(self._start, self._end, step):
            grown = value * (at - self._start) // 1 if series.counter else value
            yield at, grown + (self._start if series.since_now else 0)
