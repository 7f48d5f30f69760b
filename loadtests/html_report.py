"""HTML report of a load test: verdict, load and latency over time, saturation, and the run before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.measurements.html import render_page
from infra.measurements.html.charts import Mark, Series, TimeAxis, TimeChart
from loadtests.comparison import compare
from loadtests.results import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtests.results import CpuOverTime, IntervalStats, LoadReport

MAX_COMPONENTS = 5
"""Components in the chart, the busiest ones; the table has all."""
_TEMPLATE = Path(__file__).with_name("report.html.j2")
_SHOWN_PERCENTILES = (50.0, 99.0, 100.0)
_NO_PERCENTILES = (None,) * len(PERCENTILES)


def render_html(report: LoadReport, before: LoadReport | None = None) -> str:
    """Return the HTML page of a report.

    Args:
        report: the report.
        before: the last comparable run before it.
    """
    axis = _axis(report)
    return render_page(
        _TEMPLATE,
        report=report,
        before=before,
        differences=compare(before, report) if before else [],
        percentiles=PERCENTILES,
        errors=_errors(report),
        axis=axis,
        load_charts=_load_charts(report, axis),
        cpu_charts=_cpu_charts(report.cpu_over_time, axis) if report.cpu_over_time else [],
    )


def _errors(report: LoadReport) -> list[tuple[str, str, int]]:
    return [
        (name, text, count)
        for name, counts in sorted(report.requests.errors.items())
        for text, count in counts.items()
    ]


def _axis(report: LoadReport) -> TimeAxis:
    """Return a time axis from the start of the load profile until the end of everything that was measured."""
    ends = [report.requests.interval_seconds * len(report.requests.intervals)]
    if report.messages:
        ends.append(report.messages.interval_seconds * len(report.messages.intervals))
    if report.cpu_over_time:
        series = [*report.cpu_over_time.host.values(), *report.cpu_over_time.components.values()]
        ends.append(report.cpu_over_time.interval_seconds * max(map(len, series), default=0))
    marks = (Mark(item.at_seconds, item.description, item.is_injection) for item in report.annotations)
    return TimeAxis(max(*ends, 1), tuple(marks))


def _load_charts(report: LoadReport, axis: TimeAxis) -> list[TimeChart]:
    requests, messages = report.requests, report.messages
    charts = _charts("requests", requests.intervals, requests.interval_seconds, axis)
    if messages:
        charts += _charts("messages", messages.intervals, messages.interval_seconds, axis)
    return charts


def _charts(noun: str, intervals: Sequence[IntervalStats], seconds: int, axis: TimeAxis) -> list[TimeChart]:
    """Return charts of offered against achieved load, of what was not accepted, and of latencies."""

    def per_second(name: str) -> Series:
        return _series(name, intervals, lambda interval: getattr(interval, name) / seconds)

    def counted(name: str) -> Series:
        return _series(name, intervals, lambda interval: getattr(interval, name))

    offered = Series("offered", per_second("due").values)
    achieved = Series("achieved", per_second("completed").values)
    outcomes = tuple(counted(name) for name in ("failed", "dropped", "unresolved"))
    charts = [
        TimeChart(f"Offered and achieved {noun}", "per second", seconds, (offered, achieved), axis),
        TimeChart(f"{noun.capitalize()} that did not succeed", noun, seconds, outcomes, axis, stacked=True),
        TimeChart(
            f"Latency of {noun} that succeeded, by the instant they were due",
            "s",
            seconds,
            tuple(_latency(intervals, percentile) for percentile in _SHOWN_PERCENTILES),
            axis,
            logarithmic=True,
        ),
    ]
    return [chart for chart in charts if not chart.stacked or any(series.total for series in chart.series)]


def _latency(intervals: Sequence[IntervalStats], percentile: float) -> Series:
    position = PERCENTILES.index(percentile)
    name = "maximum" if percentile == PERCENTILES[-1] else f"p{percentile:g}"
    # The axis is logarithmic: it has no place for 0.
    return _series(
        name, intervals, lambda interval: (interval.percentiles or _NO_PERCENTILES)[position] or None
    )


def _series(
    name: str, intervals: Sequence[IntervalStats], value: Callable[[IntervalStats], float | None]
) -> Series:
    return Series(name, [value(interval) for interval in intervals])


def _cpu_charts(cpu: CpuOverTime, axis: TimeAxis) -> list[TimeChart]:
    host = tuple(Series(name, values) for name, values in cpu.host.items())
    busiest = tuple(Series(name, values) for name, values in list(cpu.components.items())[:MAX_COMPONENTS])
    named = (("CPU of the host", host), ("CPU of the busiest components, all pods of each", busiest))
    return [
        TimeChart(title, "cores", cpu.interval_seconds, series, axis) for title, series in named if series
    ]
