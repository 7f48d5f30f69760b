"""Graphs of metrics on the time axis of the page, with deploys and faults as marks."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.panel import Content
from cli.operations_page.rendering import render
from infra.measurements.html.charts import MAX_SERIES, Mark, Series, TimeAxis, TimeChart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.observability_client import Series as MetricSeries
    from cli.operations_page.telemetry import Telemetry
    from cli.operations_page.timeline import Period
    from infra.dashboards.graphs import Graph

PERIOD = dt.timedelta(hours=1)
STEP_SECONDS = 60.0
"""As the window of rates, and few enough values for the table beside each graph."""
MAX_MARKS = 8
"""Marks on the axis, the latest ones."""
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class _Chart:
    graph: Graph
    chart: TimeChart | None
    hidden: int


def signals_content(
    telemetry: Telemetry, graphs: Sequence[Graph], periods: Sequence[Period], now: dt.datetime
) -> Content:
    """Return a panel of graphs.

    Args:
        telemetry: source of the metrics.
        graphs: the graphs.
        periods: deploys and faults, whose starts and ends become marks.
        now: end of the time axis (UTC).
    """
    end = now.replace(second=now.second - now.second % int(STEP_SECONDS), microsecond=0)
    axis = TimeAxis(PERIOD.total_seconds(), _marks(periods, end), starts_at=end - PERIOD)
    charts = [_chart(telemetry, graph, axis, end) for graph in graphs]
    without_data = [
        f"{chart.graph.title}: no data"
        for chart in charts
        if chart.chart is None and not chart.graph.needs_events
    ]
    return Content(render("signals", charts=charts, axis=axis), tuple(without_data))


def _marks(periods: Sequence[Period], end: dt.datetime) -> tuple[Mark, ...]:
    moments = [(period.start, f"start of {period.description}", True) for period in periods]
    moments += [(period.end, f"end of {period.description}", False) for period in periods if period.end]
    shown = sorted(moment for moment in moments if end - PERIOD <= moment[0] <= end)[-MAX_MARKS:]
    return tuple(
        Mark((at - end + PERIOD).total_seconds(), description, begins) for at, description, begins in shown
    )


def _chart(telemetry: Telemetry, graph: Graph, axis: TimeAxis, end: dt.datetime) -> _Chart:
    series = [
        Series(legend(query.legend, item.labels), _values(item, end - PERIOD))
        for query in graph.queries
        for item in telemetry.metrics_range(query.expression, end - PERIOD, end, STEP_SECONDS)
    ]
    largest = sorted(series, key=lambda item: -item.total)[:MAX_SERIES]
    shown = tuple(item for item in series if item in largest)
    if not shown:
        return _Chart(graph, None, 0)
    # A value holds for the interval that ends with it, and the first one is of the start of the axis.
    start = -STEP_SECONDS / 2
    chart = TimeChart(graph.title, graph.unit, STEP_SECONDS, shown, axis, start_seconds=start)
    return _Chart(graph, chart, len(series) - len(shown))


def legend(template: str, labels: Mapping[str, str]) -> str:
    """Return the name of a series.

    Args:
        template: legend of its query.
        labels: its labels.
    """
    return _PLACEHOLDER.sub(lambda match: labels.get(match[1], "-"), template)


def _values(series: MetricSeries, start: dt.datetime) -> list[float | None]:
    """Return a value per step; None where the series has none, or no number."""
    values: list[float | None] = [None] * (int(PERIOD.total_seconds() / STEP_SECONDS) + 1)
    for at, value in series.points:
        index = round((at - start.timestamp()) / STEP_SECONDS)
        if 0 <= index < len(values) and value == value and abs(value) != float("inf"):  # noqa: PLR0124 - NaN
            values[index] = value
    return values
