"""`esq load`: verification of delivery, evaluation of results, and what counts as an SLO measurement."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from cli.actions.load import verification
from cli.actions.load.concurrent_experiment import ConcurrentExperiment
from cli.actions.load.run import LoadTestRequest, report_store, run_load_test
from cli.commands.load import app
from cli.environment import load_environment as environment
from infra.errors import EsqError, UsageError
from infra.progress import RecordedStep, RecordingProgress
from loadtests.protocol import CreatedCampaign
from loadtests.results import HostCpu, Latency, LoadReport, Requests, ResourceUsage
from loadtests.scenarios import SCENARIOS, find_scenario
from loadtests.shapes import Shape
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from pathlib import Path


def outcome(company: str, receipts: list[float], **fields: Any) -> verification.CampaignOutcome:
    created = CreatedCampaign(company=company, id=company, due_at=0.0)
    return verification.CampaignOutcome(
        created, Counter({"accepted": len(receipts)}), receipts=receipts, **fields
    )


def concurrent_receipts(company: int, companies: int) -> list[float]:
    """Return the receipt times of a hundred messages, companies served round-robin, one message a second."""
    return [company + companies * number + 1.0 for number in range(100)]


def sequential_receipts(company: int) -> list[float]:
    return [100 * company + number + 1.0 for number in range(100)]


def test_fairness_is_one_when_companies_are_served_round_robin() -> None:
    outcomes = [outcome(f"c{number}", concurrent_receipts(number, 8)) for number in range(8)]
    assert verification._merge_outcomes(outcomes).fairness == pytest.approx(1.0, abs=0.06)


def test_fairness_above_one_when_served_last() -> None:
    outcomes = [outcome(f"c{number}", sequential_receipts(number)) for number in range(8)]
    assert verification._merge_outcomes(outcomes).fairness == pytest.approx(3.6, abs=0.1)


def test_campaign_outcomes_are_summed() -> None:
    first, second = outcome("a", [2.0, 4.0], lost=1), outcome("b", [10.0], duplicated=2)
    second.states["uncertain"] += 3
    messages = verification._merge_outcomes([first, second])
    assert (messages.planned, messages.lost, messages.duplicated, messages.uncertain) == (6, 1, 2, 3)
    assert messages.duration_seconds == 10.0
    assert messages.latency.percentiles[-1] == pytest.approx(10.0, rel=0.002)


class FakePlatform:
    """One campaign with three messages, one of which the provider did not receive."""

    def client_for(self, _company: str, _seconds: float) -> Any:
        return SimpleNamespace(call=self.call)

    def call(self, method: str, path: str, _scope: str, **_: object) -> Any:
        if path.endswith("/messages"):
            states = {"m1": "delivered", "m2": "sent", "m3": "failed"}
            messages = [{"id": message, "state": state} for message, state in states.items()]
            return {"messages": messages, "next": None}
        if method == "POST":
            return {"m1": [1000.0, 1001.0], "m2": [], "m3": [1000.0]}
        return {"state": "finished", "planned": 3, "total": 3, "counts": {"sent": 2, "failed": 1}}


def test_messages_are_reconciled_with_the_ledger() -> None:
    created = [CreatedCampaign(company="acme", id="one", due_at=0.0)]
    messages = verification.verify_campaigns(created, FakePlatform(), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method
    assert (messages.planned, messages.failed, messages.lost, messages.duplicated) == (3, 1, 1, 1)
    assert messages.latency.count == 2
    with pytest.raises(EsqError, match="no campaign was accepted"):
        verification.verify_campaigns([], FakePlatform(), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method


class FailingPlatform:
    """Campaigns of which `one` has failed, while the others never end."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def client_for(self, _company: str, _seconds: float) -> Any:
        return SimpleNamespace(
            call=self.call, clock=time.monotonic, deadline=self.deadline, sleep=lambda _: time.sleep(0.01)
        )

    def call(self, _method: str, path: str, _scope: str, **_: object) -> Any:
        return {"state": "failed" if path.endswith("/one") else "sending", "counts": {}}


def test_failed_campaign_cancels_verification_of_the_others() -> None:
    created = [CreatedCampaign(company="acme", id=name, due_at=0.0) for name in ("two", "three", "one")]
    deadline = time.monotonic() + 20
    with pytest.raises(EsqError, match="could not be planned"):
        verification.verify_campaigns(created, FailingPlatform(deadline), 10.0, RecordedStep("ledger"))  # type: ignore[arg-type] # the same method
    assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("changes", "experiment", "is_measurement"),
    [
        ({}, None, True),
        ({"rate": 400.0}, None, True),
        ({"rate": 100.0}, None, False),
        ({"duration_seconds": 60.0}, None, False),
        ({"shape": Shape.RAMP}, None, False),
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
        assert experiment.wait_for_annotations(0.0) == ((), "")
        experiment.notify_load_started()
        experiment.notify_load_started()
        with pytest.raises(EsqError, match="returned no report"):
            experiment.wait_for_annotations(0.0)
    with ConcurrentExperiment(None, "local", baseline_seconds=0.0) as no_experiment:
        no_experiment.notify_load_started()
        assert no_experiment.wait_for_annotations(0.0) == ((), "")


def test_scenarios_are_listed_and_shown() -> None:
    listed = CliRunner().invoke(app, ["list", "--json"])
    assert [scenario["name"] for scenario in json.loads(listed.stdout)["scenarios"]] == [
        scenario.name for scenario in SCENARIOS
    ]
    shown = json.loads(CliRunner().invoke(app, ["show", "end-to-end", "--json"]).stdout)
    assert (shown["rate"], shown["duration_seconds"], shown["shape"]) == (278, 600, "steady")
    assert "SLO       end-to-end-latency-p99" in CliRunner().invoke(app, ["show", "end-to-end"]).stdout


def test_report_shows_resource_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    latency = Latency(count=1, percentiles=(0.1,) * 5)
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
        requests=Requests(
            arrivals=1, late=0, max_late_seconds=0, dropped=0, all=latency, by_name={}, errors={}, series=()
        ),
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
    fields = json.loads(CliRunner().invoke(app, ["report", "local", "--json"]).stdout)
    assert fields["resource_usage"]["planner"]["memory_mib"] == 95
