"""Checks return a finding or None; what cannot be read is an error, never None."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from infra.components.component_health import ComponentHealth, component_health
from infra.environment_health import BackupHealth
from infra.errors import UsageError
from runbooks import checks
from runbooks.check import Action, Check, Step, UnavailableError
from runbooks.fakes import NOW, ZONES, FakeContext, component, replicas, service, without
from runbooks.readings import ActiveAlert, ContainerUsage, Deploy, NodeUsage, Sample
from services.contracts.telemetry import CERTIFICATE_EXPIRY, CONNECTIONS, PLANNING_AGE, QUEUE_OLDEST_AGE


def leaderless() -> ComponentHealth:
    voters = [replica.model_copy(update={"role": "broker, votes"}) for replica in replicas("kafka")]
    return component_health("kafka", voters, "healthy")


CHECKS = {check.id: check for check in checks.all_checks()}


@pytest.mark.parametrize("slug", checks.slugs())
def test_check_has_the_id_of_its_module_and_a_description(slug: str) -> None:
    check = checks.find_check(slug)
    assert check.id == slug
    assert check.description.endswith(".")


@pytest.mark.parametrize("slug", checks.slugs())
def test_steps_read_before_they_change_and_verify_at_the_end(slug: str) -> None:
    kinds = [step.kind for step in checks.find_steps(slug)]
    assert kinds == sorted(kinds, key=("look", "act", "verify").index)
    assert kinds[0] == "look"
    assert kinds[-1] == "verify"


@pytest.mark.parametrize("slug", checks.slugs())
def test_actions_have_unique_ids_and_a_program(slug: str) -> None:
    actions = [step.action for step in checks.find_steps(slug) if step.action]
    assert len({action.id for action in actions}) == len(actions)
    assert {action.command[0] for action in actions} <= {"esq", "kubectl"}


def test_unknown_check_names_the_command_that_lists_them() -> None:
    with pytest.raises(UsageError, match="there is no check `nonsense`"):
        checks.find_check("nonsense")


def test_component_that_cannot_be_read_is_an_error() -> None:
    context = FakeContext(component=UnavailableError("the API server does not answer"))
    with pytest.raises(UnavailableError, match="does not answer"):
        CHECKS["postgres-down"].function(context)


def test_lost_primary_names_its_zone_and_all_replicas() -> None:
    health = component("postgres", "no primary accepts writes", r0="stopped", r2="running")
    finding = CHECKS["postgres-down"].function(FakeContext(component=health))
    assert finding is not None
    assert finding.reason == "postgres: no primary accepts writes"
    assert finding.zones == {"zone-a"}
    assert "postgres-0 (zone-a, primary): stopped" in finding.evidence


COMPONENTS = ("postgres", "redis", "kafka", "object-store")
STATES = (component(name, r1="link down") for name in COMPONENTS)
OUTAGES = (component(name, "does not serve", r0="down", r1="down") for name in COMPONENTS)
DOUBLE = (
    component_health(name, [replica.model_copy(update={"role": "primary"}) for replica in replicas(name)], "")
    for name in ("postgres", "redis")
)


@pytest.mark.parametrize(
    "health", [*STATES, *OUTAGES], ids=lambda health: f"{health.component}-{health.outage}"
)
def test_component_that_is_not_healthy_has_exactly_one_finding(health: ComponentHealth) -> None:
    checks_of = [check for slug, check in CHECKS.items() if slug.startswith(health.component)]
    context = FakeContext(component=health, alerts=())
    assert len([check for check in checks_of if check.function(context)]) == 1


@pytest.mark.parametrize("health", [*DOUBLE], ids=lambda health: health.component)
def test_several_primaries_are_a_split_brain(health: ComponentHealth) -> None:
    finding = CHECKS[f"{health.component}-split-brain"].function(FakeContext(component=health))
    assert finding is not None
    assert finding.zones == set(ZONES)


@pytest.mark.parametrize(
    ("slug", "readings"),
    [
        (
            "backup-stale",
            {"backups": BackupHealth("old", ("the newest backup in the off-site store is 3 days old",))},
        ),
        ("backup-drill-failed", {"backups": BackupHealth("old", ("the last drill failed: 3 rows",))}),
        ("engine-locked", {"deploys": (Deploy("deploy", "left", "ada@host, process 7"),)}),
        ("deploy-failed", {"deploys": (Deploy("deploy", "incomplete"),)}),
        ("connection-banned", {"samples": {CONNECTIONS.name: (Sample({"state": "banned"}, 2),)}}),
        ("connection-throttled", {"samples": {CONNECTIONS.name: (Sample({"state": "throttled"}, 2),)}}),
        ("connection-logged-out", {"samples": {CONNECTIONS.name: (Sample({"state": "logged_out"}, 2),)}}),
        (
            "queue-backlog",
            {"samples": {QUEUE_OLDEST_AGE.name: (Sample({"queue": "whatsapp.dispatch"}, 61),)}},
        ),
        ("campaign-stuck", {"samples": {PLANNING_AGE.name: (Sample({}, 61),)}}),
        (
            "ca-expiring",
            {"samples": {CERTIFICATE_EXPIRY.name: (Sample({"certificate": "ca"}, NOW.timestamp()),)}},
        ),
        ("recovery-slow", {"services": (service("contacts-api", "zone-a", "zone-a"),)}),
        ("dispatcher-down", {"services": without("whatsapp-dispatcher")}),
        ("service-down", {"services": without("contacts-api")}),
        ("unknown-outage", {"alerts": (ActiveAlert("HouseOnFire", NOW, {"severity": "page"}),)}),
        ("kafka-quorum-lost", {"component": leaderless()}),
    ],
)
def test_reading_leads_to_the_finding_of_its_check_only(slug: str, readings: dict[str, Any]) -> None:
    context = FakeContext(**{"alerts": (), **readings})
    assert [check.id for check in CHECKS.values() if check.function(context)] == [slug]


def test_action_contains_the_environment() -> None:
    action = Action("deploy", "Deploys.", ("esq", "deploy", "{env}"), "safe", ("esq", "preview", "{env}"))
    assert action.text("staging") == "esq deploy staging"
    assert action.argv("staging", dry=True) == ("esq", "preview", "staging")


def test_missing_dry_run_is_an_error() -> None:
    action = Action("deploy", "Deploys.", ("esq", "deploy", "{env}"), "safe")
    with pytest.raises(ValueError, match="the action `deploy` has no dry run"):
        action.argv("staging", dry=True)


def test_step_needs_the_part_of_its_kind() -> None:
    check = Check("a", "Whether a.", lambda _: None)
    action = Action("b", "Does b.", ("esq",), "safe")
    for parts in ({"kind": "look"}, {"kind": "act", "check": check}, {"kind": "verify", "action": action}):
        with pytest.raises(ValueError, match="and nothing else"):
            Step(**parts)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("look", check=check).kind = "act"  # type: ignore[misc]


def containers(*stalled: float) -> tuple[NodeUsage, ...]:
    usage = tuple(
        ContainerUsage(f"pod-{n}", "main", "zone-a", cpu_stalled=value) for n, value in enumerate(stalled)
    )
    others = (NodeUsage(zone, 100, 50) for zone in ZONES[1:])
    return (NodeUsage(ZONES[0], 100, 50, containers=usage), *others)


@pytest.mark.parametrize(
    ("stalled", "is_found"),
    [((0.1,) * 10 + (0.9,), True), ((0.75,) * 5 + (0.1,) * 5 + (0.9,), False), ((0.1,) * 10 + (0.6,), False)],
)
def test_pod_must_wait_longer_than_busy_pods_do(stalled: tuple[float, ...], *, is_found: bool) -> None:
    assert bool(CHECKS["cpu-pressure"].function(FakeContext(usage=containers(*stalled)))) is is_found


@pytest.mark.parametrize(
    ("zone_a", "others", "is_found"),
    [
        ((0.2, 0.3, 0.01, 0.01), (0.01,) * 4, True),
        ((0.2, 0.3, 0.01, 0.01), (0.01, 0.01, 0.2, 0.01), False),
        ((0.2, 0.01, 0.01, 0.01), (0.01,) * 4, False),
    ],
)
def test_lost_requests_count_while_none_to_other_zones_is_lost(
    zone_a: tuple[float, ...], others: tuple[float, ...], *, is_found: bool
) -> None:
    round_trips = dict.fromkeys(ZONES, others) | {"zone-a": zone_a}
    assert bool(CHECKS["network-degraded"].function(FakeContext(round_trips=round_trips))) is is_found
