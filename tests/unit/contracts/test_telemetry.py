"""The table of metrics and span attributes follows the conventions of Prometheus and protects tenants."""

from __future__ import annotations

import re

import pytest

from services.contracts import telemetry
from services.contracts.telemetry import METRICS, Attribute, Metric, MetricKind
from tests.unit.project.source_files import PROJECT

FORBIDDEN_LABELS = {"company", "campaign", "connection", "contact", "phone", "recipient", "message"}


def test_names_are_unique() -> None:
    names = [name for metric in METRICS for name in metric.series]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_follows_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"esq_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert metric.name.endswith("_seconds") == metric.unit.startswith("seconds")
    assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert not FORBIDDEN_LABELS & set(metric.labels)


def test_services_export_every_metric() -> None:
    declared = {name for name, value in vars(telemetry).items() if isinstance(value, Metric)}
    sources = [
        path.read_text() for path in (PROJECT / "services").rglob("*.py") if path.parent.name != "contracts"
    ]
    exported = {name for source in sources for name in re.findall(r"\btelemetry\.([A-Z_]+)", source)}

    assert declared - exported == set()


def test_no_attribute_names_a_person_or_a_tenant() -> None:
    names = "|".join(Attribute)
    assert not re.search(r"phone|recipient|contact|company|text|body", names)
