"""Triage names the cause, not its symptoms, and says what it could not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.alerts.catalog import ALERT_BY_SLUG
from runbooks import checks
from runbooks.check import Check, Finding, UnavailableError
from runbooks.fakes import NOW, ZONES, FakeContext, component, without
from runbooks.readings import ActiveAlert, FaultState
from runbooks.score import TRUTHS, score
from runbooks.triage import Cause, diagnose, find_causes, first_action
from tests.unit.runbooks import symptoms

PROJECT = Path(__file__).parents[3]
SHIPPED = {path.stem for path in (PROJECT / "chaos/experiments").glob("*.yaml")}
LAYER = "the observability layer is not deployed"


def test_every_alert_has_a_check() -> None:
    assert set(checks.slugs()) == set(ALERT_BY_SLUG)


def test_every_experiment_has_its_truth_and_its_symptoms() -> None:
    assert set(TRUTHS) == SHIPPED
    assert set(symptoms.EXPERIMENTS) == SHIPPED


@pytest.mark.parametrize("experiment", sorted(SHIPPED))
def test_symptoms_of_an_experiment_lead_to_its_true_cause(experiment: str) -> None:
    diagnosis = diagnose(symptoms.EXPERIMENTS[experiment])
    assert score(diagnosis.named, TRUTHS[experiment]) == 1.0, sorted(diagnosis.named)


def test_healthy_environment_has_no_cause_and_proposes_nothing() -> None:
    diagnosis = diagnose(FakeContext())
    assert diagnosis.causes == diagnosis.recovered == ()
    assert diagnosis.action is None
    assert diagnosis.runbook == ""
    assert set(diagnosis.unread) == {LAYER}


def test_lost_zone_explains_its_own_replicas_and_the_edge() -> None:
    (cause,) = diagnose(symptoms.lost_zone()).causes
    assert cause.check == "zone-down"
    assert {"postgres-down", "redis-down", "kafka-under-replicated", "api-availability"} <= set(
        cause.symptoms
    )


def test_lost_zone_does_not_explain_a_replica_of_another_zone() -> None:
    context = symptoms.lost_zone(component=component("object-store", r2="down, CrashLoopBackOff"))
    assert [cause.check for cause in diagnose(context).causes] == ["zone-down", "object-store-resync-lag"]


def test_component_that_nobody_reads_is_reported_and_never_good() -> None:
    diagnosis = diagnose(FakeContext(component=UnavailableError("pods do not answer")))
    assert diagnosis.causes == ()
    assert {"postgres-down", "kafka-down", "redis-split-brain"} <= set(diagnosis.unread["pods do not answer"])


def test_lost_control_plane_is_named_although_nothing_else_can_be_read() -> None:
    diagnosis = diagnose(symptoms.no_control_plane())
    assert diagnosis.named == {"control-plane-down"}
    assert diagnosis.action is not None
    assert diagnosis.action.text("local") == "esq cluster up"


def test_action_for_another_cluster_needs_no_embedded_one() -> None:
    action = diagnose(symptoms.no_control_plane(is_embedded=False)).action
    assert action is not None
    assert not action.embedded_only


def test_failing_edge_without_a_cause_is_an_unknown_outage() -> None:
    diagnosis = diagnose(FakeContext(endpoints=symptoms.FAILED_EDGE))
    assert diagnosis.is_unknown
    assert diagnosis.runbook == "unknown-outage"
    assert diagnosis.action is not None
    assert diagnosis.action.risk == "safe"


def test_left_fault_comes_first_and_is_undone_first() -> None:
    fault = FaultState("1", "zone-freeze of zone-a", "zone-outage", NOW, is_left=True)
    diagnosis = diagnose(symptoms.lost_zone(faults=(fault,)))
    assert [cause.check for cause in diagnosis.causes] == ["fault-left"]
    assert diagnosis.action is not None
    assert diagnosis.action.text("local") == "esq chaos rollback local"


def test_fault_of_a_running_experiment_is_no_finding() -> None:
    fault = FaultState("1", "zone-freeze of zone-a", "zone-outage", NOW, is_left=False)
    assert diagnose(FakeContext(faults=(fault,))).causes == ()


def test_alert_of_the_layer_becomes_a_finding_with_its_labels() -> None:
    alert = ActiveAlert("PostgresSlow", NOW, {"pod": "postgres-0", "zone": "zone-a"})
    (cause,) = diagnose(FakeContext(alerts=(alert,))).causes
    assert cause.check == "postgres-slow"
    assert "pod=postgres-0" in cause.finding.evidence[0]
    assert cause.finding.zones == {"zone-a"}


def test_stopped_service_explains_the_edge() -> None:
    (cause,) = diagnose(FakeContext(services=without("contacts-api"), endpoints=symptoms.FAILED_EDGE)).causes
    assert cause.check == "service-down"


def test_containers_that_restarted_together_were_a_lost_zone() -> None:
    diagnosis = diagnose(symptoms.EXPERIMENTS["node-crash-restart"])
    assert diagnosis.causes == ()
    assert [cause.check for cause in diagnosis.recovered] == ["zone-down"]
    assert diagnosis.recovered[0].finding.zones == {"zone-a"}


def test_defect_of_a_check_is_reported_and_does_not_hide_the_others() -> None:
    def broken(_: Any) -> Finding | None:
        raise KeyError("leader")

    context = FakeContext(endpoints=symptoms.FAILED_EDGE)
    working = checks.find_check("api-availability")
    diagnosis = diagnose(context, (Check("zone-down", "Whether.", broken), working))
    assert diagnosis.unread == {"internal error: KeyError('leader')": ("zone-down",)}
    assert diagnosis.named == {"api-availability"}


def test_no_two_problems_explain_each_other() -> None:
    findings = {slug: Finding(slug) for slug in checks.slugs()}
    assert [cause.check for cause in find_causes(findings)]
    for slug, finding in findings.items():
        for other in set(findings) - {slug}:
            pair = {slug: finding, other: findings[other]}
            assert find_causes(pair), f"{slug} and {other} explain each other"


def test_result_can_be_stored_as_json() -> None:
    document = json.loads(json.dumps(diagnose(symptoms.lost_zone()).to_dict()))
    assert document["runbook"] == "zone-down"
    assert document["action"]["command"] == ["esq", "cluster", "up"]
    assert document["causes"][0]["zones"] == ["zone-a"]
    assert document["unread"] == {LAYER: document["unread"][LAYER]}


@pytest.mark.parametrize("zone", ZONES)
def test_busy_host_is_no_degraded_network(zone: str) -> None:
    slow = dict.fromkeys(ZONES, (0.2, 0.3, 0.25)) | {zone: (0.3, 0.4, 0.35)}
    assert diagnose(FakeContext(round_trips=slow)).causes == ()


def test_what_an_alert_inhibits_in_the_catalog_is_its_symptom() -> None:
    findings = {"provider-outage": Finding("rejects"), "connection-throttled": Finding("throttled")}
    (cause,) = find_causes(findings)
    assert (cause.check, set(cause.symptoms)) == ("provider-outage", {"connection-throttled"})


@pytest.mark.parametrize("slug", checks.slugs())
@pytest.mark.parametrize("is_embedded", [True, False])
def test_safe_action_is_proposed_before_others(slug: str, *, is_embedded: bool) -> None:
    action = first_action([Cause(slug, Finding("broken"))], is_embedded=is_embedded)
    assert action is not None
    risks = {step.action.risk for step in checks.find_steps(slug) if step.action}
    assert action.risk == "safe" or "safe" not in risks
    assert is_embedded or not action.embedded_only
