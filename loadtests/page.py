"""The page of a report: verdicts, percentiles, and the run over time with what hurt it meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.measurements.html import render_page
from loadtests.result import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.result import Report

WIDTH, HEIGHT = 900, 120
"""Of each of the two drawings, in pixels."""
LEFT = 60
_TICKS = 12
_TEMPLATE = Path(__file__).with_name("report.html.j2")


def html(report: Report) -> str:
    """Return the page."""
    series = report.requests.series
    scale = WIDTH / max(len(series), 1)
    return render_page(
        _TEMPLATE,
        report=report,
        percentiles=PERCENTILES,
        errors=_errors(report),
        good=_bars([second.good for second in series], [second.good + second.bad for second in series]),
        bad=_bars([second.good + second.bad for second in series]),
        worst=_bars([second.worst for second in series]),
        most=max((second.good + second.bad for second in series), default=0),
        longest=max((second.worst for second in series), default=0.0),
        marks=[(LEFT + mark.at * scale, mark) for mark in report.marks],
        ticks=[(LEFT + second * scale, second) for second in range(0, len(series), _step(len(series)))],
        left=LEFT,
        width=WIDTH,
        height=HEIGHT,
    )


def _errors(report: Report) -> list[tuple[str, str, int]]:
    return [
        (name, text, count)
        for name, kinds in sorted(report.requests.errors.items())
        for text, count in kinds.items()
    ]


def _bars(values: Sequence[float], against: Sequence[float] | None = None) -> list[dict[str, float]]:
    """Return a bar for each second, as high as its value is of the greatest of them (or of `against`)."""
    scale, most = WIDTH / max(len(values), 1), max(against or values, default=0) or 1
    return [
        {"x": LEFT + place * scale, "w": max(scale - 0.5, 0.5), "h": HEIGHT * value / most, "value": value}
        for place, value in enumerate(values)
    ]


def _step(seconds: int) -> int:
    """Return how many seconds lie between two ticks of the axis."""
    return next((step for step in (5, 10, 20, 30, 60, 120, 300) if seconds / step <= _TICKS), 3600)
