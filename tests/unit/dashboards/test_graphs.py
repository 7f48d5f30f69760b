"""Graphs use metrics that are scraped, with the labels that they have, and Grafana reads the dashboards."""

from __future__ import annotations

import json
import re

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

from infra.alerts.burn_rates import ALL_PER_MINUTE, BAD_PER_MINUTE
from infra.components.observability.scraped_metrics import SCRAPED_METRICS
from infra.dashboards.grafana import DASHBOARDS, Dashboard, dashboard_json
from infra.dashboards.graphs import Graph, Query
from services.contracts.telemetry import METRICS

GRAPHS = [graph for source in DASHBOARDS for _, graphs in source.sections for graph in graphs]
QUERIES = [query for graph in GRAPHS for query in graph.queries]
FUNCTIONS = frozenset(
    [
        "sum",
        "max",
        "min",
        "by",
        "rate",
        "increase",
        "avg_over_time",
        "histogram_quantile",
        "scalar",
        "default",
        "and",
        "or",
        "le",
        "count",
        "label_set",
    ]
)
"""Functions and keywords of MetricsQL in the queries; every other name is a metric or a label."""
RECORDED_METRICS = frozenset({ALL_PER_MINUTE, BAD_PER_MINUTE})
"""Written by the rules of the alerts."""
TARGET_LABELS = frozenset({"job", "instance", "namespace", "pod", "service", "zone", "node"})
"""Labels that the scraper adds."""
_LABELS = re.compile(r"\{([^}]*)\}|by \(([^)]*)\)")


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics in a query."""
    without_labels = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-z_][a-z0-9_:]*\b", without_labels)) - FUNCTIONS


def labels_of(expression: str) -> set[str]:
    """Return the names of the labels in a query."""
    selectors = re.findall(r"([a-z_]+)\s*=~?", " ".join(first for first, _ in _LABELS.findall(expression)))
    groups = [name.strip() for _, names in _LABELS.findall(expression) for name in names.split(",")]
    return {*selectors, *filter(None, groups)} - {"le"}


def unknown_metrics(graphs: list[Graph]) -> set[str]:
    """Return the metrics of graphs that nothing scrapes."""
    return (
        {metric for graph in graphs for query in graph.queries for metric in metrics_of(query.expression)}
        - SCRAPED_METRICS
        - RECORDED_METRICS
    )


def test_every_metric_is_scraped() -> None:
    assert unknown_metrics(GRAPHS) == set()
    assert all(metrics_of(query.expression) for query in QUERIES)


def test_metric_that_is_not_scraped_is_found() -> None:
    graph = Graph("x", "y", (Query('sum by (service) (rate(esq_nothing_total{state="a"}[1m])) / up', "z"),))
    assert unknown_metrics([graph]) == {"esq_nothing_total"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expression)
def test_labels_exist(query: Query) -> None:
    by_series = {name: set(metric.labels) for metric in METRICS for name in metric.series}
    known = set(TARGET_LABELS)
    for metric in metrics_of(query.expression):
        known |= by_series.get(metric, {"persistentvolumeclaim", "indicator"})
    assert labels_of(query.expression) <= known
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= labels_of(query.expression)


def test_no_graph_is_by_company_or_person() -> None:
    assert {label for query in QUERIES for label in labels_of(query.expression)}.isdisjoint(
        {"company", "campaign", "connection", "phone"}
    )


@pytest.mark.parametrize("source", DASHBOARDS, ids=lambda source: source.uid)
def test_dashboard_is_valid_in_the_schema_of_grafana(source: Dashboard) -> None:
    document = dashboard_json(source)
    parsed = GrafanaDashboard.from_json(document)
    assert json.loads(json.dumps(parsed, cls=JSONEncoder)) == document
    assert (parsed.uid, parsed.title, parsed.editable) == (source.uid, source.title, False)
    panels = [panel for panel in document["panels"] if panel["type"] == "timeseries"]
    assert len(panels) == sum(len(graphs) for _, graphs in source.sections)
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["title"]
        assert [target["expr"] for target in panel["targets"]]
    positions = [tuple(panel["gridPos"][side] for side in "xy") for panel in document["panels"]]
    assert len(set(positions)) == len(positions)


def test_uids_are_unique() -> None:
    assert len({source.uid for source in DASHBOARDS}) == len(DASHBOARDS)
