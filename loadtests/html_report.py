"""HTML report of a load test: SLO evaluations, percentiles, timeline and experiment annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.measurements.html import render_page
from loadtests.results import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.results import LoadReport

WIDTH, HEIGHT = 900, 120
"""Size of each of the two charts, pixels."""
LEFT_MARGIN = 60
_MAX_TICKS = 12
_TICK_INTERVALS = (5, 10, 20, 30, 60, 120, 300)
_MAX_TICK_INTERVAL = 3600
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def render_html(report: LoadReport) -> str:
    """Return the HTML page of a report."""
    series = report.requests.intervals
    scale = WIDTH / max(len(series), 1)
    totals = [interval.due for interval in series]
    ticks = range(0, len(series), _tick_interval(len(series)))
    return render_page(
        _TEMPLATE,
        report=report,
        percentiles=PERCENTILES,
        errors=_errors(report),
        succeeded=_bars([interval.accepted for interval in series], totals),
        due=_bars(totals),
        latency=_bars([interval.percentiles[-1] for interval in series]),
        max_requests=max(totals, default=0),
        max_seconds=max((interval.percentiles[-1] for interval in series), default=0.0),
        annotations=[
            (LEFT_MARGIN + annotation.at_seconds * scale, annotation) for annotation in report.annotations
        ],
        ticks=[(LEFT_MARGIN + second * scale, second) for second in ticks],
        left=LEFT_MARGIN,
        width=WIDTH,
        height=HEIGHT,
    )


def _errors(report: LoadReport) -> list[tuple[str, str, int]]:
    return [
        (name, text, count)
        for name, counts in sorted(report.requests.errors.items())
        for text, count in counts.items()
    ]


def _bars(values: Sequence[float], scale_values: Sequence[float] | None = None) -> list[dict[str, float]]:
    """Return a bar for each second, scaled by the maximum of the values (or of `scale_values`)."""
    width, maximum = WIDTH / max(len(values), 1), max(scale_values or values, default=0) or 1
    return [
        {
            "x": LEFT_MARGIN + index * width,
            "w": max(width - 0.5, 0.5),
            "h": HEIGHT * value / maximum,
            "value": value,
        }
        for index, value in enumerate(values)
    ]


def _tick_interval(seconds: int) -> int:
    """Return the seconds between two ticks of the time axis."""
    return next(
        (interval for interval in _TICK_INTERVALS if seconds / interval <= _MAX_TICKS), _MAX_TICK_INTERVAL
    )
