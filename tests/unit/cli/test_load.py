"""`esq load`: verification of delivery, evaluation of results, and what counts as an SLO measurement."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from cli.actions.load import verification
from cli.actions.load.concurrent_experiment import ConcurrentExperiment, ExperimentResult, parse_result
from cli.actions.load.delivery import CampaignOutcome, OfferedCampaigns, merge_outcomes
from cli.actions.load.reporting import report_store
from cli.actions.load.request import LoadTestRequest
from cli.actions.load.run import run_load_test
from cli.commands.load import app
from cli.environment import load_environment as environment
from infra.errors import EsqError, UsageError
from infra.progress import RecordedStep, RecordingProgress
from loadtests.clock_offset import ClockOffset
from loadtests.generator.recorder import Recorder
from loadtests.html_report import render_html
from loadtests.merge import merge_results
from loadtests.protocol import CreatedCampaign, LoadTarget
from loadtests.results import HostCpu, LoadReport, Messages, ResourceUsage
from loadtests.scenarios import SCENARIOS, find_scenario
from loadtests.shapes import Shape, Spacing
from tests.sample_reports import load_report
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


RECIPIENTS = 100


def offered_campaigns(outcomes: Sequence[CampaignOutcome], refused: int = 0) -> OfferedCampaigns:
    """Return campaigns to `RECIPIENTS` contacts each."""
    return OfferedCampaigns([item.created for item in outcomes], refused, RECIPIENTS, started_at=0.0)


def outcome(company: str, receipts: list[float], **fields: Any) -> CampaignOutcome:
    created = CreatedCampaign(company=company, id=company, due_at=0.0)
    return CampaignOutcome(created, Counter({"accepted": len(receipts)}), receipts=receipts, **fields)


def concurrent_receipts(company: int, companies: int) -> list[float]:
    """Return the receipt times of a hundred messages, companies served round-robin, one message a second."""
    return [company + companies * number + 1.0 for number in range(100)]


def sequential_receipts(company: int) -> list[float]:
    return [100 * company + number + 1.0 for number in range(100)]


def test_fairness_is_one_when_companies_are_served_round_robin() -> None:
    outcomes = [outcome(f"c{number}", concurrent_receipts(number, 8)) for number in range(8)]
    messages = merge_outcomes(outcomes, offered_campaigns(outcomes), ended_at=900.0)
    assert messages.fairness == pytest.approx(1.0, abs=0.06)


def test_fairness_above_one_when_served_last() -> None:
    outcomes = [outcome(f"c{number}", sequential_receipts(number)) for number in range(8)]
    messages = merge_outcomes(outcomes, offered_campaigns(outcomes), ended_at=900.0)
    assert messages.fairness == pytest.approx(3.6, abs=0.1)


def test_campaign_outcomes_are_summed() -> None:
    first, second = outcome("a", [2.0] * 50 + [4.0] * 50, lost=1), outcome("b", [10.0] * 100, duplicated=2)
    second.states = Counter({"accepted": 97, "uncertain": 3})
    messages = merge_outcomes([first, second], offered_campaigns([first, second]), ended_at=12.0)
    assert (messages.planned, messages.received, messages.lost) == (200, 200, 1)
    assert (messages.duplicated, messages.uncertain) == (2, 3)
    assert messages.duration_seconds == 10.0
    assert messages.latency.percentiles[-1] == pytest.approx(10.0, rel=0.002)


def test_messages_that_never_arrive_count_at_the_horizon() -> None:
    late = outcome("a", [1.0] * 97)
    late.states = Counter({"accepted": 97, "failed": 2, "queued": 1})
    messages = merge_outcomes([late], offered_campaigns([late]), ended_at=300.0)
    assert (messages.planned, messages.received, messages.failed) == (100, 97, 2)
    assert (messages.latency.count, messages.latency.failed) == (100, 3)
    assert messages.p99 == pytest.approx(300, rel=0.002)
    assert messages.duration_seconds == 300


def test_messages_of_refused_campaigns_count_at_the_horizon() -> None:
    accepted = outcome("a", [1.0] * 100)
    messages = merge_outcomes([accepted], offered_campaigns([accepted], refused=1), ended_at=300.0)
    assert (messages.planned, messages.received) == (200, 100)
    assert messages.p99 == pytest.approx(300, rel=0.002)
    assert messages.fairness >= 4


def test_missing_messages_do_not_improve_fairness() -> None:
    outcomes = [outcome(f"c{number}", sequential_receipts(number)) for number in range(8)]
    outcomes[0].receipts = outcomes[0].receipts[:-1]
    messages = merge_outcomes(outcomes, offered_campaigns(outcomes), ended_at=9000.0)
    assert messages.duration_seconds == 9000
    assert messages.fairness == pytest.approx(3.6, abs=0.1)


def test_recipients_of_an_ended_campaign_without_a_message_are_lost() -> None:
    outcomes = [outcome("a", [1.0] * 97), outcome("b", [1.0] * 90, problem="it did not end in time")]
    assert merge_outcomes(outcomes, offered_campaigns(outcomes), ended_at=300.0).lost == 3


def test_receipt_before_its_campaign_was_due_is_the_fault_of_a_clock() -> None:
    outcomes = [outcome("a", [-0.04] + [-0.06] * 2 + [1.0] * 97)]
    [problem] = merge_outcomes(outcomes, offered_campaigns(outcomes), ended_at=2.0).problems
    assert problem == "2 messages were received before their campaign was due: a clock is wrong"


def test_nothing_arrives_at_all() -> None:
    messages = merge_outcomes([], offered_campaigns([], refused=10), ended_at=300.0)
    assert (messages.planned, messages.received, messages.per_second) == (1000, 0, 0)
    assert messages.latency.count == 1000
    assert messages.duration_seconds == 300
    assert merge_outcomes([], offered_campaigns([]), ended_at=0.0).planned == 0


class FakePlatform:
    """One campaign with three messages, one of which the provider did not receive.

    Attributes:
        clocks: offsets of the provider's replicas from this machine's clock, which answer in turn.
    """

    clocks = (0.0,)

    def __init__(self) -> None:
        self._clocks = itertools.cycle(self.clocks)

    def client_for(self, _company: str, _seconds: float) -> Any:
        return SimpleNamespace(call=self.call)

    def call(self, method: str, path: str, _scope: str, **_: object) -> Any:
        if path == "/ledger/clock":
            return {"now": time.monotonic() + next(self._clocks)}
        if path.endswith("/messages"):
            states = {"m1": "delivered", "m2": "sent", "m3": "failed"}
            messages = [{"id": message, "state": state} for message, state in states.items()]
            return {"messages": messages, "next": None}
        if method == "POST":
            return {"m1": [1000.0, 1001.0], "m2": [], "m3": [1000.0]}
        return {"state": "finished", "planned": 3, "total": 3, "counts": {"sent": 2, "failed": 1}}


def verify(
    offered: OfferedCampaigns, platform: Any, clock_before: float | None = 0.0, seconds: float = 10.0
) -> Messages:
    """Verify campaigns, with the offset that the provider's clock had before the load."""
    before = None if clock_before is None else ClockOffset(seconds=clock_before, uncertainty_seconds=0.001)
    return verification.verify_campaigns(offered, platform, before, seconds, RecordedStep("ledger"))


def test_messages_are_reconciled_with_the_ledger() -> None:
    created = [CreatedCampaign(company="acme", id="one", due_at=0.0)]
    offered = OfferedCampaigns(created, refused=1, recipients=3, started_at=0.0)
    messages = verify(offered, FakePlatform())
    assert (messages.planned, messages.received) == (6, 2)
    assert (messages.failed, messages.lost, messages.duplicated) == (1, 1, 1)


class SkewedPlatform(FakePlatform):
    """Replicas of the provider with clocks of their own."""

    clocks = (400.0, 401.0)


class ShiftedPlatform(FakePlatform):
    """A provider whose clock differs."""

    clocks = (400.0,)


def test_receipts_are_corrected_by_the_clock_of_the_provider() -> None:
    created = [CreatedCampaign(company="acme", id="one", due_at=0.0)]
    offered = OfferedCampaigns(created, refused=0, recipients=3, started_at=0.0)
    messages = verify(offered, ShiftedPlatform(), 400.0)
    assert messages.latency.percentiles[0] == pytest.approx(1000.0 - 400.0, rel=0.002)
    assert messages.problems == ()
    skewed = verify(offered, SkewedPlatform(), 400.5)
    assert "the uncertainty of the provider's clock is 0.5" in skewed.problems[-1]


def test_clock_of_the_provider_that_was_set_during_the_run_is_found() -> None:
    created = [CreatedCampaign(company="acme", id="one", due_at=0.0)]
    offered = OfferedCampaigns(created, refused=0, recipients=3, started_at=0.0)
    [problem] = verify(offered, ShiftedPlatform(), 398.0).problems
    assert "the uncertainty of the provider's clock is 1.0" in problem
    assert verify(offered, ShiftedPlatform(), None).problems, "it was not measured before the load"


class FailingPlatform(FakePlatform):
    """Campaigns of which `failed` cannot be planned, and `endless` does not end before the deadline."""

    def client_for(self, _company: str, seconds: float) -> Any:
        return SimpleNamespace(
            call=self.call, clock=time.monotonic, deadline=time.monotonic() + seconds, sleep=lambda _: None
        )

    def call(self, method: str, path: str, scope: str, **fields: object) -> Any:
        campaign = path.rpartition("/")[2]
        if campaign == "failed":
            return {"state": "failed", "failure": "no such list", "counts": {}}
        if campaign == "endless":
            return {"state": "sending", "counts": {"queued": 1}}
        if path == "/campaigns/unknown/messages":
            raise EsqError("the connection was reset", location="edge", remedy="Repeat it.")
        return super().call(method, path, scope, **fields)


def test_campaigns_without_an_end_are_part_of_the_result() -> None:
    created = [
        CreatedCampaign(company="acme", id=name, due_at=0.0) for name in ("failed", "endless", "unknown")
    ]
    offered = OfferedCampaigns(created, refused=0, recipients=3, started_at=0.0)
    messages = verify(offered, FailingPlatform(), seconds=0.1)
    assert (messages.planned, messages.received) == (9, 4)
    assert sorted(messages.problems) == [
        "campaign endless: the campaign did not end in time: 1 queued",
        "campaign failed: the campaign could not be planned: no such list",
        "campaign unknown, messages are unknown: the connection was reset",
    ]


def test_webhooks_that_are_never_applied_are_part_of_the_result() -> None:
    target = LoadTarget(
        url="", tokens={"load": ""}, campaign="endless", sent_messages=(("1", "a"), ("1", "b"))
    )
    load_ended_at = time.monotonic() - 40.0
    drain = verification.wait_for_read_statuses(
        *(target, FailingPlatform(), load_ended_at, 0.0),  # type: ignore[arg-type] # the same method
        RecordedStep("webhooks"),
    )
    assert (drain.messages, drain.updated) == (2, 0)
    assert drain.drain_seconds >= 40, "the end of the generators counts as well"


@pytest.mark.parametrize(
    ("changes", "experiment", "is_measurement"),
    [
        ({}, None, True),
        ({"rate": 400.0}, None, True),
        ({"rate": 100.0}, None, False),
        ({"duration_seconds": 60.0}, None, False),
        ({"shape": Shape.RAMP}, None, False),
        ({"spacing": Spacing.POISSON}, None, False),
        ({}, "short-pause-no-failover", False),
    ],
)
def test_only_runs_of_at_least_the_declared_profile_are_measurements(
    changes: dict[str, Any], experiment: str | None, *, is_measurement: bool
) -> None:
    scenario = find_scenario("end-to-end")
    profile = scenario.profile.model_copy(update=changes)
    request = LoadTestRequest(scenario, profile, 2, experiment, None, "esq load run local end-to-end")
    assert request.meets_declared_profile is is_measurement
    assert request.arrival_profile.rate == pytest.approx(request.profile.rate / scenario.per_arrival)


@pytest.mark.parametrize(
    ("simulator", "confirmed_name", "message"),
    [(False, "staging", "not to the simulator"), (True, None, "require confirmation")],
)
def test_load_and_faults_reach_no_environment_by_accident(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    simulator: bool,
    confirmed_name: str | None,
    message: str,
) -> None:
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    write_definition(tmp_path, "staging", simulator=simulator)
    scenario = find_scenario("end-to-end")
    request = LoadTestRequest(scenario, scenario.profile, 2, "short-pause-no-failover", confirmed_name, "")
    with pytest.raises(UsageError, match=message):
        run_load_test(environment("staging"), request, RecordingProgress())


def test_experiment_starts_after_the_load() -> None:
    with ConcurrentExperiment("no such experiment", "local", baseline_seconds=0.1) as experiment:
        assert experiment.wait_for_result(0.0, 60.0).problems, "it never started"
        experiment.notify_load_started()
        experiment.notify_load_started()
        with pytest.raises(EsqError, match="returned no report"):
            experiment.wait_for_result(0.0, 60.0)
    with ConcurrentExperiment(None, "local", baseline_seconds=0.0) as no_experiment:
        no_experiment.notify_load_started()
        assert no_experiment.wait_for_result(0.0, 60.0) == ExperimentResult()


@pytest.mark.parametrize(
    ("injected_at", "outcome", "reasons", "problems"),
    [
        (130.0, "valid", [], []),
        (170.0, "valid", [], ["no fault was injected before all work was done: use a longer --duration"]),
        (90.0, "valid", [], ["no fault was injected before all work was done: use a longer --duration"]),
        (130.0, "invalid", ["action `kill` failed"], ["the experiment is invalid: action `kill` failed"]),
    ],
)
def test_fault_that_missed_the_load_makes_the_run_invalid(
    injected_at: float, outcome: str, reasons: list[str], problems: list[str]
) -> None:
    annotations = [
        {"at": injected_at, "description": "process-kill", "is_injection": True},
        {"at": 140.0, "description": "process-kill undone", "is_injection": False},
    ]
    run = {"outcome": outcome, "reasons": reasons, "annotations": annotations}
    result = parse_result({"runs": [run], "page": "report.html"}, 100.0, 60.0)
    assert [item.at_seconds for item in result.annotations] == [injected_at - 100, 40]
    assert list(result.problems) == problems
    report = load_report(experiment_problems=result.problems)
    assert [reason for reason in report.reasons if reason in problems] == problems
    assert report.busy_seconds == report.messages.duration_seconds > report.profile.duration_seconds


def test_scenarios_are_listed_and_shown() -> None:
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert [scenario["name"] for scenario in json.loads(listed.stdout)["scenarios"]] == [
        scenario.name for scenario in SCENARIOS
    ]
    shown = json.loads(CliRunner().invoke(app, ["show", "end-to-end", "--json"]).stdout)
    assert (shown["rate"], shown["duration_seconds"], shown["shape"]) == (278, 600, "steady")
    assert "SLO        end-to-end-latency-p99" in CliRunner().invoke(app, ["show", "end-to-end"]).stdout


def test_report_shows_resource_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    recorder = Recorder(start=0.0)
    for error in (None, "503"):
        recorder.record_due(0.0)
        recorder.record_request("create campaign", 0.0, 0.1, error)
    report = LoadReport(
        scenario="end-to-end",
        title="End to end",
        unit="messages",
        profile=find_scenario("end-to-end").profile,
        generators=1,
        environment="local",
        started_at="2026-11-30T00:00:00+00:00",
        command="esq load run local end-to-end",
        slo_metrics={},
        requests=merge_results([recorder.result(ended_at=2.0)]),
        resource_usage={
            "postgres": ResourceUsage(pods=3, cores=0.17, memory_mib=211, limit_mib=0),
            "planner": ResourceUsage(pods=2, cores=0.02, memory_mib=95, limit_mib=256),
        },
        host_cpu=HostCpu(cores=2, used=0.91, steal=0.03),
    )
    store = report_store(environment("local"))
    store.write(store.create("end-to-end", dt.datetime(2026, 11, 30, tzinfo=dt.UTC)), report, "<p>page</p>")
    shown = CliRunner().invoke(app, ["report", "local"])
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["postgres", "3", "0.170", "211", "-"] in lines
    assert ["planner", "2", "0.020", "95", "256"] in lines
    assert ["all", "pods", "5", "0.190"] in lines
    assert "0.91 of 2 cores" in shown.stdout
    assert ["requests", "2", "1", "1", "0", "0"] in lines
    assert "✗ invalid: 1 of 2 requests were accepted; at least 99 % are required" in shown.stdout
    fields = json.loads(CliRunner().invoke(app, ["report", "local", "--json"]).stdout)
    assert fields["resource_usage"]["planner"]["memory_mib"] == 95
    assert fields["outcome"] == "invalid"


def unaccepted_report(*, is_measured: bool) -> LoadReport:
    """Return a run of which nothing was accepted, with or without an SLO that this violates."""
    report = load_report(
        slo_metrics={"load-lost": "messages.lost"}
        if not is_measured
        else {"end-to-end-latency-p99": "messages.p99"}
    )
    recorder = Recorder(start=0.0)
    for number in range(12):
        recorder.record_due(number)
        recorder.record_request("create campaign", number, number + 0.01, "503")
    messages = merge_outcomes([], OfferedCampaigns([], 12, 100, 0.0), ended_at=20.0)
    return report.model_copy(
        update={"requests": merge_results([recorder.result(ended_at=20.0)]), "messages": messages}
    )


@pytest.mark.parametrize(
    ("report", "exit_code"),
    [
        (unaccepted_report(is_measured=True), 99),
        (unaccepted_report(is_measured=False), 1),
        (load_report(requests=merge_results([Recorder(0.0).result(1.0)])), 1),
    ],
)
def test_run_in_which_nothing_arrives_ends_with_a_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: LoadReport, exit_code: int
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(report, report), encoding="utf-8")
    monkeypatch.setattr("cli.actions.load.run.run_load_test", lambda *_: (report, page))
    ended = CliRunner().invoke(app, ["run", "local", "end-to-end"])
    assert ended.exit_code == exit_code, ended.output
    assert "✗ invalid: " in ended.stdout
    if report.violated:
        assert "≥ 20" in ended.stdout, "a value of a failed run is a lower bound"
    if report.requests.offered:
        assert "0 of 12 requests were accepted; at least 99 % are required" in ended.stdout
        assert "0 of 1200 messages were received; at least 99 % are required" in ended.stdout


def test_valid_run_that_meets_its_slos_ends_with_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder(start=0.0)
    recorder.record_due(0.0)
    recorder.record_request("list campaigns", 0.0, 0.01, None)
    requests = merge_results([recorder.result(ended_at=1.0)])
    report = load_report(requests=requests, messages=None, slo_metrics={"api-p99": "requests.p99"})
    monkeypatch.setattr("cli.actions.load.run.run_load_test", lambda *_: (report, tmp_path / "report.html"))
    ended = CliRunner().invoke(app, ["run", "local", "api"])
    assert ended.exit_code == 0, ended.output
    assert "✗" not in ended.stdout
    assert "Not recorded for `esq slo`" in ended.stdout, "a run with a fault proves no SLO"
