"""HTML page of a report: SLO evaluations, and for each run the client statistics beside faults and events."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.measurements.html import render_page
from infra.measurements.html.charts import MAX_SERIES, Mark, Series, TimeAxis, TimeChart
from services.contracts.slo import ERROR_BUDGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.results import ChaosReport, ExperimentRun
    from chaos.traffic.client_stats import StreamStats

LABEL_WIDTH = 165
"""Pixels for the names of the streams, left of their rows."""
PLOT_WIDTH = 775
ROW_HEIGHT = 22
SLOW_SECONDS = 1.0
_STATES = {
    "down": "no acknowledgement",
    "slow": "few or slow acknowledgements",
    "up": "acknowledged",
}
_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Period:
    """Consecutive seconds in which a stream is in the same state.

    Attributes:
        state: `up`, `slow` or `down`.
        start: seconds from the start of the run.
        end: its end, likewise.
    """

    state: str
    start: float
    end: float

    def __str__(self) -> str:
        return f"{_STATES[self.state]} from second {self.start:.1f} to {self.end:.1f}"


@dataclass(frozen=True)
class StreamRow:
    """Row of a stream in the timeline.

    Attributes:
        name: name of the stream.
        y: vertical position.
        periods: its states over time.
    """

    name: str
    y: int
    periods: list[Period]

    def __str__(self) -> str:
        disturbed = [str(period) for period in self.periods if period.state != "up"]
        return f"{self.name}: {', '.join(disturbed) or 'acknowledged all the time'}"


def render_report(report: ChaosReport, runbook: str) -> str:
    """Return the HTML page.

    Args:
        report: the report.
        runbook: text of the runbook; empty for none.
    """
    return render_page(
        _TEMPLATE,
        report=report,
        evaluations=report.evaluations,
        runs=[_run_context(number, run) for number, run in enumerate(report.runs, 1)],
        states=_STATES,
        runbook=runbook,
        budget=round(ERROR_BUDGET_SECONDS),
    )


def _run_context(number: int, run: ExperimentRun) -> dict[str, Any]:
    marks = tuple(
        Mark(annotation.at - run.started_at, annotation.description, annotation.is_injection)
        for annotation in run.annotations
    )
    seconds = max(run.ended_at - run.started_at, 1.0)
    streams = sorted(run.streams.items())
    return {
        "number": number,
        "run": run,
        "axis": TimeAxis(seconds, marks, LABEL_WIDTH, PLOT_WIDTH),
        "rows": [
            StreamRow(name, 30 + row * ROW_HEIGHT, _periods(stats, run))
            for row, (name, stats) in enumerate(streams)
        ],
        "bottom": 30 + len(streams) * ROW_HEIGHT,
        "streams": streams,
        "error_chart": _error_chart(run, TimeAxis(seconds, marks)),
        "errors": [(name, text, count) for name, stats in streams for text, count in stats.errors.items()],
        "timeline": _timeline_rows(run),
    }


def _periods(stats: StreamStats, run: ExperimentRun) -> list[Period]:
    """Return the states of a stream; the last second, which is not whole, is left out."""
    median_count = statistics.median([count for count, _ in stats.series] or [0])
    seconds = int(run.ended_at - stats.started_at)
    states = [_state(count, slowest, median_count) for count, slowest in stats.series[:seconds]]
    periods, start = [], stats.started_at - run.started_at
    for state, members in groupby(states):
        end = start + len(list(members))
        periods.append(Period(state, start, end))
        start = end
    return periods


def _state(count: int, slowest: float, median_count: float) -> str:
    if count == 0:
        return "down"
    return "slow" if slowest > SLOW_SECONDS or count < median_count / 2 else "up"


def _error_chart(run: ExperimentRun, axis: TimeAxis) -> TimeChart | None:
    """Return the share of missing acknowledgements of the worst streams; None if none was missing."""
    start = min((stats.started_at for stats in run.streams.values()), default=run.started_at)
    series = [
        Series(name, [*[None] * round(stats.started_at - start), *_missing_percent(stats)])
        for name, stats in run.streams.items()
    ]
    worst = sorted((item for item in series if item.total), key=lambda item: -item.total)[:MAX_SERIES]
    if not worst:
        return None
    length = max(len(item.values) for item in worst)
    padded = [Series(item.name, [*item.values, *[None] * (length - len(item.values))]) for item in worst]
    return TimeChart(
        "Attempts without acknowledgement, the streams with most of them",
        "% of the attempts due in the second",
        1,
        tuple(padded),
        axis,
        start_seconds=round(start - run.started_at, 1),
    )


def _missing_percent(stats: StreamStats) -> Iterator[float | None]:
    """Yield the percentage of missing acknowledgements in each second of a stream."""
    for due, (acked, _) in zip(stats.due, stats.series, strict=False):
        yield round(100 * max(0.0, 1 - acked / due), 1) if due else None


def _timeline_rows(run: ExperimentRun) -> list[tuple[float, str, str]]:
    """Return faults, events and unavailability in order: seconds since the first fault, text, CSS class."""
    rows = [
        (annotation.at, f"▼ {annotation.description}", "error")
        if annotation.is_injection
        else (annotation.at, f"△ {annotation.description}", "ok")
        for annotation in run.annotations
    ]
    rows += [(event.at, f"{event.subject}: {event.before} → {event.after}", "") for event in run.events]
    rows += [
        (
            stats.unavailable_from,
            f"{name}: no acknowledgement for {stats.max_unavailability_seconds:.1f} s",
            "warning",
        )
        for name, stats in run.streams.items()
        if stats.max_unavailability_seconds > SLOW_SECONDS
    ]
    since = run.first_injection_at
    return [(round(at - since, 1) + 0.0, text, kind) for at, text, kind in sorted(rows)]
