"""Dashboards for Grafana in its own schema, with the graphs of the operations page.

The data source is a variable of each dashboard: any that speaks the Prometheus API and evaluates MetricsQL.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, VisibilityMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

from infra.dashboards.burn_graphs import BURN_RATES
from infra.dashboards.graphs import DATA_LAYER, DELIVERY, GOLDEN_SIGNALS, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.dashboards.graphs import Graph

DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "esq"
_COLUMNS, _HEIGHT = 12, 8
"""Size of a graph; a dashboard is 24 columns wide."""
_UNITS = (("seconds", "s"), ("bytes", "bytes"), ("requests per second", "reqps"), ("%", "percent"))
"""Unit of Grafana by the beginning of a graph's unit."""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        uid: its id in Grafana and the name of its file.
        title: its title.
        sections: its graphs by the title of their row.
    """

    uid: str
    title: str
    sections: tuple[tuple[str, Sequence[Graph]], ...]


DASHBOARDS = (
    Dashboard("esq-services", "esq / Services", (("Golden signals", GOLDEN_SIGNALS),)),
    Dashboard("esq-data-layer", "esq / Data layer", (("Data layer", DATA_LAYER),)),
    Dashboard("esq-delivery", "esq / Delivery", (("Messages", DELIVERY), ("Provider", PROVIDER))),
    Dashboard("esq-slo-burn", "esq / SLO burn", (("Burn rate of the error budgets", BURN_RATES),)),
)


def dashboard_json(source: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    builder = (
        dashboard.Dashboard(source.title)
        .uid(source.uid)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("utc")
        .time("now-1h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for title, graphs in source.sections:
        builder = builder.with_row(dashboard.Row(title))
        for graph in graphs:
            builder = builder.with_panel(_panel(graph))
    document: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    return document


def _panel(graph: Graph) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)  # noqa: FBT003 - the builder's signature
    )
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.description or graph.unit)
        .datasource(DATA_SOURCE)
        .unit(_grafana_unit(graph.unit))
        .axis_label(graph.unit)
        .min(0)
        .show_points(VisibilityMode.NEVER)
        .no_value("no data")
        .legend(legend)
        .span(_COLUMNS)
        .height(_HEIGHT)
    )
    for number, query in enumerate(graph.queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).range()
        panel = panel.with_target(target.datasource(DATA_SOURCE).ref_id(chr(ord("A") + number)))
    return panel


def _grafana_unit(unit: str) -> str:
    return next((name for beginning, name in _UNITS if unit.startswith(beginning)), "short")
