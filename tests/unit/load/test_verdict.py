"""Which load tests prove anything: a planted breach for each rule."""

from __future__ import annotations

from typing import Any

import pytest
from markupsafe import escape

from loadtests.generator.recorder import Recorder
from loadtests.html_report import render_html
from loadtests.merge import latency_from_samples, merge_results
from loadtests.protocol import GeneratorResult, LoadProfile
from loadtests.results import LoadReport, Messages, WebhookDrain
from loadtests.shapes import Shape
from services.contracts.slo import SloStatus

REQUEST_SLOS = {"api-p99": "requests.p99", "api-error-rate": "requests.failed_percent"}
MESSAGE_SLOS = {"end-to-end-latency-p99": "messages.p99", "load-lost": "messages.lost"}


def generator_result(
    accepted: int = 1000, *, failed: int = 0, dropped: int = 0, unresolved: int = 0, late: int = 0
) -> GeneratorResult:
    """Return the result of a generator whose accepted requests took 10 ms."""
    recorder = Recorder(start=0.0)
    for number in range(accepted + failed):
        recorder.record_due(1.0)
        recorder.record_start(0.2 if number < late else 0.0, is_late=number < late)
        recorder.record_request("page", 1.0, 1.01, "503" if number < failed else None)
    for _ in range(dropped):
        recorder.record_due(1.0)
        recorder.record_dropped(1.0)
    for _ in range(unresolved):
        recorder.record_due(1.0)
        recorder.record_unresolved(1.0)
    return recorder.result(ended_at=70.0)


def delivery(planned: int = 1000, received: int = 1000, **fields: Any) -> Messages:
    values = {
        "planned": planned,
        "received": received,
        "failed": 0,
        "lost": 0,
        "duplicated": 0,
        "uncertain": 0,
        "latency": latency_from_samples([0.5] * received, planned - received, 300.0),
        "duration_seconds": 60.0,
        "fairness": 1.0,
        "horizon_seconds": 300.0,
        **fields,
    }
    return Messages.model_validate(values)


def create_report(
    result: GeneratorResult | None = None,
    messages: Messages | None = None,
    webhooks: WebhookDrain | None = None,
) -> LoadReport:
    return LoadReport(
        scenario="api",
        title="API",
        unit="requests",
        profile=LoadProfile(shape=Shape.STEADY, rate=100, duration_seconds=10),
        generators=1,
        environment="local",
        started_at="2026-11-30T00:00:00+00:00",
        command="esq load run local api",
        slo_metrics=MESSAGE_SLOS if messages else REQUEST_SLOS,
        requests=merge_results([result or generator_result()]),
        messages=messages,
        webhooks=webhooks,
    )


def test_run_in_which_everything_was_accepted_is_valid() -> None:
    report = create_report(generator_result(997, failed=1, dropped=1, unresolved=1, late=3))
    requests = report.requests
    assert requests.offered == 1000 == requests.accepted + requests.failed + requests.dropped + 1
    assert requests.all.count == 1000
    assert (report.valid, report.reasons) == (True, ())
    assert [item.status for item in report.evaluations] == [SloStatus.MET, SloStatus.MISSED]


def test_run_with_half_of_all_requests_refused_is_a_failure() -> None:
    report = create_report(generator_result(500, failed=500))
    assert report.reasons == ("500 of 1000 requests were accepted; at least 99 % are required",)
    assert [(item.slo_id, item.status) for item in report.violated] == [
        ("api-p99", SloStatus.VIOLATED),
        ("api-error-rate", SloStatus.VIOLATED),
    ]
    assert report.requests.p99 == pytest.approx(70, rel=0.002)


@pytest.mark.parametrize("outcome", ["failed", "dropped", "unresolved"])
def test_every_kind_of_missing_answer_counts_at_the_horizon(outcome: str) -> None:
    report = create_report(generator_result(980, **{outcome: 20}))
    assert not report.valid
    assert report.requests.failed_percent == pytest.approx(2)
    assert report.requests.p99 == pytest.approx(70, rel=0.002)


def test_failed_run_proves_no_met_slo() -> None:
    report = create_report(messages=delivery(uncertain=2))
    assert report.reasons == ("2 of 1000 messages are uncertain; at most 0.1 % are allowed",)
    assert [item.status for item in report.evaluations] == [SloStatus.INSUFFICIENT] * 2
    assert all(item.distribution.max.censored for item in report.evaluations)
    assert create_report(messages=delivery(uncertain=1)).valid


def test_messages_that_were_not_received_violate_the_latency() -> None:
    report = create_report(messages=delivery(received=980))
    assert report.reasons == ("980 of 1000 messages were received; at least 99 % are required",)
    assert [item.slo_id for item in report.violated] == ["end-to-end-latency-p99"]


def test_campaign_without_an_end_is_a_failure() -> None:
    report = create_report(messages=delivery(problems=("campaign 1 did not end in time",)))
    assert report.reasons == ("campaign 1 did not end in time",)


def test_webhooks_that_were_not_applied_are_a_failure() -> None:
    report = create_report(webhooks=WebhookDrain(messages=10, updated=9, drain_seconds=900.0))
    assert report.reasons == ("9 of 10 messages have the state of their webhook",)


def test_run_without_messages_measures_nothing() -> None:
    assert create_report(messages=delivery(planned=0, received=0)).reasons == ("no message was planned",)
    assert not create_report(webhooks=WebhookDrain(messages=0, updated=0, drain_seconds=0.1)).valid


def test_nothing_was_accepted_at_all() -> None:
    messages = delivery(received=0, duration_seconds=0.0, latency=latency_from_samples([], 1000, 300.0))
    report = create_report(generator_result(0, failed=10), messages)
    assert report.violated
    assert "0 of 1000 messages were received" in render_html(report)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"late": 11}, "11 of 1000 arrivals started late, at most 0.00 s: the generators were too slow"),
        ({"arrivals": 1001}, "1001 arrivals were due, but 1000 have an outcome"),
        ({"arrivals": 999}, "999 arrivals were due, but 1000 have an outcome"),
        ({"generator_errors": {"KeyError: 'id'": 2}}, "2 errors of a generator: KeyError: 'id'"),
    ],
)
def test_run_of_a_faulty_generator_says_nothing_about_the_platform(
    changes: dict[str, Any], reason: str
) -> None:
    report = create_report(generator_result().model_copy(update=changes))
    assert report.reasons == (reason,)
    assert [item.distribution.max.value for item in report.evaluations] == [None, None]
    assert str(escape(reason)) in render_html(report)


def test_run_without_arrivals_is_invalid() -> None:
    report = create_report(generator_result(0))
    assert report.reasons == ("no arrival was due",)
    assert report.requests.failed_percent == 100
