"""Results of experiments: metrics, SLO evaluation, HTML page and stored reports."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from chaoslib.experiment import run_experiment

from chaos.context import Annotation
from chaos.html_report import render_report
from chaos.results import (
    ActivityResult,
    CampaignResult,
    ChaosReport,
    ExperimentRun,
    activity_results,
)
from chaos.timeline import Event
from chaos.traffic.client_stats import StreamStats, compute_stats
from infra.errors import EsqError, UsageError
from infra.measurements.report_store import ReportStore
from infra.measurements.run_values import NOT_MEASURED, RunOutcome, RunValue
from services.contracts.slo import ERROR_BUDGET_SECONDS, SLO_BY_ID, SloStatus

UNAVAILABILITY = "edge.read.max_unavailability_seconds"


def stats(unavailability: float, lost: int = 0, **fields: int) -> StreamStats:
    acked = [(0, 0.0, 0.1), (1, unavailability, unavailability + 0.1)]
    counts = {"failed": 0, "dropped": 0, "late": 0, "corrupt": 0, "stale": 0}
    log = {"started_at": 0.0, "acked": acked, "errors": {}, "period": 0.2, **counts}
    computed = compute_stats(log, unavailability + 0.2, stored=[0, 1])
    return computed.model_copy(update={"max_unavailability_seconds": unavailability, "lost": lost, **fields})


def experiment_run(**streams: float) -> ExperimentRun:
    annotation = Annotation(
        at=1.0, description="zone-isolation of zone-a", is_injection=True, commands="ip link set x down"
    )
    return ExperimentRun(
        started_at=0.0,
        ended_at=40.0,
        last_reading_at=39.5,
        failovers=0,
        annotations=(annotation,),
        events=(Event(at=2.0, subject="node zone-a", before="ready", after="lost"),),
        streams={name.replace("_", "."): stats(seconds) for name, seconds in streams.items()},
    )


def chaos_report(*runs: ExperimentRun, slos: dict[str, str] | None = None) -> ChaosReport:
    return ChaosReport(
        experiment="zone-outage",
        title="A <zone> outage",
        description="The zone is down.",
        environment="local",
        started_at="2026-11-25T00:00:00+00:00",
        command="esq chaos run local zone-outage",
        slos=slos if slos is not None else {"edge-zone-outage": UNAVAILABILITY},
        runs=runs,
        host={"cores": 2.0},
        versions={"python": "3.11"},
        commit="abc",
        runbook="zone-down",
    )


def test_metric_combines_the_parts_of_a_stream() -> None:
    run = experiment_run(kafka_write_0=1.0, kafka_write_1=8.0)
    assert run.metric("kafka.write.max_unavailability_seconds") == RunValue(value=8.0)
    assert run.metric("kafka.write.acked") == RunValue(value=4)
    assert run.metric("failovers") == RunValue(value=0)
    with pytest.raises(EsqError, match="no metric `kafka"):
        run.metric("kafka.write.gap")


@pytest.mark.parametrize(
    "metric",
    [
        "lost",
        "duplicated",
        "failovers",
        "time_to_full_redundancy",
        "campaign.lost",
        "edge.read.error_ratio",
        "edge.read.max_unavailability_seconds",
    ],
)
def test_absent_data_is_not_zero(metric: str) -> None:
    run = experiment_run().model_copy(update={"last_reading_at": None, "failovers": None})
    assert run.valid
    assert run.metric(metric) == NOT_MEASURED
    slo_id = "writes-lost" if metric == "lost" else "edge-zone-outage"
    report = chaos_report(run, slos={slo_id: metric})
    assert [evaluation.slo_id for evaluation in report.insufficient] == [slo_id]
    assert run.error_budget_share is None
    assert "not measured" in str(run.lost)


def test_latency_of_a_partition_without_acknowledgement_is_not_that_of_the_others() -> None:
    run = experiment_run(kafka_write_0=1.0)
    silent = run.streams["kafka.write.0"].model_copy(update={"latency_p99": None})
    run = run.model_copy(update={"streams": run.streams | {"kafka.write.1": silent}})
    assert run.metric("kafka.write.latency_p99") == NOT_MEASURED


def test_writes_lost_by_redis_are_not_counted_as_lost() -> None:
    streams = {"redis.write": stats(1.0, lost=3), "postgres.write": stats(1.0, lost=1)}
    assert ExperimentRun(started_at=0.0, ended_at=1.0, streams=streams).lost == RunValue(value=1)


def test_damaged_reads_count_as_lost_also_if_the_damage_was_repaired() -> None:
    streams = {"postgres.write": stats(1.0, lost=1), "object-store.read": stats(1.0, corrupt=2)}
    assert ExperimentRun(started_at=0.0, ended_at=1.0, streams=streams).lost == RunValue(value=3)
    redis = {"postgres.write": stats(1.0), "redis.read": stats(1.0, corrupt=2)}
    assert ExperimentRun(started_at=0.0, ended_at=1.0, streams=redis).lost == RunValue(value=0)


def test_writes_that_cannot_be_compared_make_losses_a_lower_bound() -> None:
    unknown = stats(1.0).model_copy(update={"lost": None})
    streams = {"edge.write": unknown, "postgres.write": stats(1.0)}
    run = experiment_run().model_copy(update={"streams": streams})
    assert run.metric("lost") == RunValue(value=0, censored=True)
    (evaluation,) = chaos_report(run, slos={"writes-lost": "lost"}).evaluations
    assert evaluation.status is SloStatus.INSUFFICIENT


def test_outage_without_end_is_a_lower_bound() -> None:
    run = experiment_run(edge_read=3.0)
    endless = run.streams["edge.read"].model_copy(update={"unavailable_until_end": True})
    run = run.model_copy(update={"streams": {"edge.read": endless}})
    assert run.metric(UNAVAILABILITY) == RunValue(value=3.0, censored=True)


def test_error_budget_is_used_by_the_share_of_failed_requests() -> None:
    """A fifth of the requests of 40 s fail: as much as 8 s without service."""
    failing = stats(1.0).model_copy(update={"error_ratio": 0.2})
    run = experiment_run().model_copy(update={"streams": {"edge.read": failing}})
    assert run.error_budget_share == pytest.approx(8 / ERROR_BUDGET_SECONDS)


def test_slo_is_evaluated_by_median_and_maximum() -> None:
    slo = SLO_BY_ID["edge-zone-outage"]
    assert (slo.objective, slo.limit) == (5, 25)
    for values, status in (
        ((1.0, 2.0, 20.0), SloStatus.MET),
        ((6.0, 7.0, 8.0), SloStatus.MISSED),
        ((1.0, 1.0, 26.0), SloStatus.VIOLATED),
    ):
        (evaluation,) = chaos_report(*(experiment_run(edge_read=value) for value in values)).evaluations
        assert evaluation.status is status


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"annotations": ()}, RunOutcome.INVALID, "no fault was injected"),
        ({"deviated": True}, RunOutcome.INVALID, "not healthy again in time"),
        ({"problems": ("edge: zone-a is down",)}, RunOutcome.INVALID, "edge: zone-a is down"),
        ({"status": "failed"}, RunOutcome.INVALID, "Chaos Toolkit ended with `failed`"),
        ({"streams": {"edge.read": stats(1.0, late=1)}}, RunOutcome.INVALID, "clients lagged: edge.read"),
        (
            {
                "activities": (
                    ActivityResult(name="kill", type="action", status="failed", error="ssh: no route"),
                )
            },
            RunOutcome.INVALID,
            "action `kill` failed: ssh: no route",
        ),
        ({"abort_reason": "edge.read is silent"}, RunOutcome.ABORTED, "edge.read is silent"),
        ({"status": "interrupted"}, RunOutcome.ABORTED, "Chaos Toolkit ended with `interrupted`"),
        ({"error": "the traffic process exited"}, RunOutcome.CRASHED, "the traffic process exited"),
    ],
)
def test_run_is_valid_only_if_everything_went_as_planned(
    fields: dict[str, object], outcome: RunOutcome, reason: str
) -> None:
    assert experiment_run(edge_read=1.0).outcome is RunOutcome.VALID
    run = experiment_run(edge_read=1.0).model_copy(update=fields)
    assert run.outcome is outcome
    assert run.reasons == (reason,)
    assert not chaos_report(run).all_valid


@pytest.mark.parametrize(
    "fields", [{"annotations": ()}, {"abort_reason": "edge.read is silent"}, {"error": "the tool crashed"}]
)
def test_value_of_a_run_that_is_not_valid_can_violate_but_not_meet(fields: dict[str, object]) -> None:
    met, violated = (experiment_run(edge_read=value).model_copy(update=fields) for value in (1.0, 26.0))
    assert [evaluation.status for evaluation in chaos_report(met).evaluations] == [SloStatus.INSUFFICIENT]
    assert chaos_report(experiment_run(edge_read=1.0), violated).violated
    assert str(violated.metric(UNAVAILABILITY)) == "at least 26"


def test_lagging_client_measures_losses_but_no_times() -> None:
    streams = {"edge.read": stats(30.0, late=1), "edge.write": stats(1.0, lost=1)}
    lagging = experiment_run().model_copy(update={"streams": streams})
    assert lagging.metric(UNAVAILABILITY).value is None
    assert chaos_report(lagging, slos={"writes-lost": "lost"}).violated


def test_outcome_survives_storage_and_cannot_be_claimed() -> None:
    run = experiment_run().model_copy(update={"annotations": ()})
    stored = run.model_dump_json().replace('"outcome":"invalid"', '"outcome":"valid"')
    assert '"outcome":"valid"' in stored
    assert ExperimentRun.model_validate_json(stored) == run
    assert ExperimentRun.model_validate_json(stored).outcome is RunOutcome.INVALID


def test_activities_are_read_from_the_journal_of_chaos_toolkit() -> None:
    """The toolkit says `completed` although an action failed."""
    experiment = {
        "title": "t",
        "description": "d",
        "method": [
            {
                "type": "action",
                "name": "inject",
                "provider": {"type": "python", "module": "json", "func": "loads", "arguments": {"s": "{"}},
            }
        ],
        "rollbacks": [],
    }
    journal = run_experiment(experiment)
    assert journal["status"] == "completed"
    (result,) = activity_results(journal)
    assert (result.name, result.type, result.status) == ("inject", "action", "failed")
    assert "JSONDecodeError" in result.error
    (missing,) = activity_results({**journal, "run": []})
    assert missing.reason == "action `inject` not run"


def test_html_page_is_self_contained_and_escaped() -> None:
    campaign = CampaignResult(planned=100, seconds=5.0, lost=0, duplicated=0, uncertain=2)
    run = experiment_run(edge_read=3.5).model_copy(update={"campaign": campaign})
    page = render_report(chaos_report(run), "# Zone outage\nDo <nothing>.")
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    for text in (
        "A &lt;zone&gt; outage",
        "zone-isolation of zone-a",
        "node zone-a: ready",
        "ip link set x down",
    ):
        assert text in page
    assert "<dt>uncertain</dt><dd>2</dd>" in page
    assert "Do &lt;nothing&gt;." in page


def test_streams_and_marks_share_the_time_axis_of_the_run() -> None:
    acked = [
        (number, 103.0 + number / 10, 103.0 + number / 10)
        for number in range(300)
        if number not in range(100, 150)
    ]
    log = {"started_at": 103.0, "acked": acked, "failed": 50, "errors": {}, "dropped": 0, "late": 0}
    streams = {"edge.read": compute_stats({**log, "period": 0.1, "corrupt": 0, "stale": 0}, ended_at=133.0)}
    fault = Annotation(at=113.0, description="kill", is_injection=True)
    run = ExperimentRun(started_at=100.0, ended_at=133.0, annotations=(fault,), streams=streams)
    page = render_report(chaos_report(run), "")
    assert "edge.read: no acknowledgement from second 13.0 to 18.0" in page
    assert "13.0&nbsp;s</span> kill" in page
    assert '<td class="n">13</td><td class="n">100</td>' in page


def test_report_store_returns_stored_reports(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, ChaosReport, "`esq chaos run`")
    with pytest.raises(UsageError, match="no reports"):
        store.read()
    now = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
    report = chaos_report(experiment_run(edge_read=1.0))
    page = store.write(store.create("zone-outage", now), report, "<p>page</p>")
    stored, stored_page = store.read()
    assert stored_page == page
    assert stored.experiment == "zone-outage"
    with pytest.raises(UsageError, match="`x`"):
        store.read("x")
