"""Merging of generator results, and their evaluation against SLOs."""

from __future__ import annotations

import pytest
from hdrh.histogram import HdrHistogram

from infra.errors import EsqError, UsageError
from loadtests.generator.recorder import Recorder
from loadtests.html_report import render_html
from loadtests.merge import latency_from_samples, merge_results, percentiles_of_samples
from loadtests.protocol import GeneratorResult, LoadProfile
from loadtests.results import (
    Annotation,
    HostCpu,
    LoadReport,
    Messages,
    Requests,
    ResourceUsage,
    WebhookDrain,
)
from loadtests.scenarios import SCENARIOS, find_scenario
from loadtests.shapes import Shape
from services.contracts.slo import SLO_BY_ID, SloStatus


def generator_result(*latencies: float, errors: int = 0, late: int = 0) -> GeneratorResult:
    """Return a result with one request per second; the first `errors` failed, the first `late` started late."""
    recorder = Recorder(start=100.0)
    for number, latency in enumerate(latencies):
        due_at = 100.0 + number
        recorder.record_due(due_at)
        error = "500 <no>" if number < errors else None
        recorder.record_request("page", due_at, due_at + latency, error)
        recorder.record_start(0.2 if number < late else 0.0, is_late=number < late)
    return recorder.result(ended_at=160.0)


def create_report(requests: Requests, **fields: object) -> LoadReport:
    values = {
        "scenario": "api",
        "title": "API",
        "unit": "requests",
        "profile": LoadProfile(shape=Shape.STEADY, rate=10, duration_seconds=60),
        "generators": 2,
        "environment": "local",
        "started_at": "2026-11-28T00:00:00+00:00",
        "command": "esq load run local api",
        "slo_metrics": {"api-p99": "requests.p99", "api-error-rate": "requests.failed_percent"},
        "requests": requests,
        **fields,
    }
    return LoadReport.model_validate(values)


def test_percentiles_cover_all_generators() -> None:
    merged = merge_results([generator_result(*[0.1] * 99), generator_result(*[2.0] * 101)])
    assert merged.all.count == 200
    assert merged.all.percentiles[0] == pytest.approx(2.0, rel=0.002)
    assert merged.by_name["page"].percentiles[-1] == pytest.approx(2.0, rel=0.002)
    merged = merge_results([generator_result(*[0.1] * 99), generator_result(2.0)])
    assert merged.p99 == pytest.approx(0.1, rel=0.002)


def test_failures_errors_and_dropped_arrivals_are_counted() -> None:
    with_dropped = Recorder(start=100.0)
    for due_at in (100.0, 100.1):
        with_dropped.record_due(due_at)
        with_dropped.record_dropped(due_at)
    merged = merge_results([generator_result(0.1, 1.5, 0.1, errors=1), with_dropped.result(ended_at=160.0)])
    assert merged.errors == {"page": {"500 <no>": 1}}
    assert merged.failed_percent == pytest.approx(100 * 3 / 5)
    outcomes = [
        (interval.due, interval.accepted, interval.failed, interval.dropped, interval.completed)
        for interval in merged.intervals
    ]
    assert outcomes == [(3, 0, 1, 2, 0), (1, 1, 0, 0, 0), (1, 1, 0, 0, 2)]
    medians = [
        round(interval.percentiles[0], 2) if interval.percentiles else None for interval in merged.intervals
    ]
    assert medians == [None, 1.5, 0.1], "an interval without success has no latency, not one of 0 s"


def test_histograms_are_kept() -> None:
    merged = merge_results([generator_result(0.1, 0.2, 0.3, errors=1)])
    assert HdrHistogram.decode(merged.all.histogram).get_total_count() == 3
    stored = LoadReport.model_validate_json(create_report(merged).model_dump_json())
    assert stored.requests == merged


def test_report_evaluates_its_slos() -> None:
    report = create_report(merge_results([generator_result(*[5.0] * 10)]))
    assert [(evaluation.slo_id, evaluation.status) for evaluation in report.evaluations] == [
        ("api-p99", SloStatus.VIOLATED),
        ("api-error-rate", SloStatus.MET),
    ]
    assert [evaluation.slo_id for evaluation in report.violated] == ["api-p99"]
    with pytest.raises(EsqError, match=r"no metric `messages\.lost`"):
        report.metric("messages.lost")


def test_html_report_is_self_contained() -> None:
    messages = Messages(
        planned=100,
        received=100,
        failed=1,
        lost=0,
        duplicated=2,
        uncertain=3,
        latency=latency_from_samples([0.5] * 100),
        duration_seconds=50.0,
        fairness=1.1,
        horizon_seconds=60.0,
    )
    usage = {
        "postgres": ResourceUsage(pods=3, cores=0.17, memory_mib=211, limit_mib=0),
        "worker": ResourceUsage(pods=2, cores=0.02, memory_mib=95, limit_mib=256),
    }
    report = create_report(
        merge_results([generator_result(0.1, 0.2, errors=1)]),
        messages=messages,
        annotations=(Annotation(at_seconds=0.5, description="kill <postgres>", is_injection=True),),
        resource_usage=usage,
        host_cpu=HostCpu(cores=2, used=0.91, steal=0.03),
    )
    html = render_html(report)
    assert "http://" not in html
    assert "https://" not in html
    assert "<script" not in html
    cpu = (">postgres</th>", "0.190", "0.91 of 2 cores")
    for text in ("kill &lt;postgres&gt;", "500 &lt;no&gt;", "messages", *cpu):
        assert text in html
    assert report.metric("messages.duration_seconds") == 50
    assert report.metric("messages.p99") == pytest.approx(0.5, rel=0.002)


def test_scenarios_refer_to_existing_slos_and_metrics() -> None:
    models = {"requests": Requests, "messages": Messages, "webhooks": WebhookDrain}
    for scenario in SCENARIOS:
        for slo_id, metric in scenario.slo_metrics.items():
            part, _, attribute = metric.partition(".")
            assert slo_id in SLO_BY_ID
            assert attribute in models[part].model_fields or hasattr(models[part], attribute)
    with pytest.raises(UsageError, match="there is no scenario `x`"):
        find_scenario("x")


def test_percentiles_of_samples_are_exact() -> None:
    assert percentiles_of_samples([]) is None
    assert percentiles_of_samples([3.0]) == (3, 3, 3, 3, 3)
    assert percentiles_of_samples(range(1, 1001)) == (500, 900, 990, 999, 1000)


def test_horizon_of_a_long_run_is_not_clamped() -> None:
    for seconds in (1500.0, 90_000.0):
        latency = latency_from_samples([], failed=1, horizon_seconds=seconds)
        assert latency.p99 == pytest.approx(seconds, rel=0.002)
