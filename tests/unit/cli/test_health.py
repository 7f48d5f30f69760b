"""The health consists of readings and of the findings of the steady state; a deploy does not wait for backups."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cli.actions.health import assess
from infra.environment_health import BackupHealth, EndpointCheck, NodeHealth
from runbooks import steady_state, triage
from runbooks.check import UnavailableError
from runbooks.fakes import ZONES, FakeContext, component, without

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth

FAILED_DRILL = BackupHealth("drill failed", ("the last drill failed: latest: 3 rows instead of 4",))


def test_healthy_environment_has_no_problems() -> None:
    health = assess(FakeContext())
    assert health.healthy
    assert health.summary == "3 nodes, 12 data replicas, 18 service replicas, edge: healthy"


def test_failed_drill_is_a_problem_but_not_an_outage() -> None:
    health = assess(FakeContext(backups=FAILED_DRILL))
    assert not health.healthy
    assert health.problems == ["backups: the last drill failed: latest: 3 rows instead of 4"]
    assert health.outages == ()
    assert health.to_dict()["backups"]["problems"] == list(FAILED_DRILL.problems)


def test_outage_is_a_problem() -> None:
    health = assess(FakeContext(services=without("contacts-api")))
    assert list(health.outages) == health.problems == ["contacts-api: 0 of 2 ready in 0 zones"]


@pytest.mark.parametrize(
    ("readings", "problem"),
    [
        ({"component": component("postgres", r1="starting")}, "postgres: postgres-1: starting"),
        (
            {"component": component("kafka", "3 partitions have no leader")},
            "kafka: 3 partitions have no leader",
        ),
        ({"endpoints": (EndpointCheck("/contacts", "status 503"),)}, "edge /contacts: status 503"),
        (
            {"nodes": tuple(NodeHealth(zone, zone, ready=zone != "zone-b") for zone in ZONES)},
            "node zone-b is not ready",
        ),
    ],
)
def test_every_part_is_checked(readings: dict, problem: str) -> None:
    assert assess(FakeContext(**readings)).problems == [problem]


def test_unfinished_restore_is_a_problem_with_the_command_that_resumes_it() -> None:
    command = "esq backup restore local --target latest --in-place"
    health = assess(FakeContext(unfinished_restore=command))
    assert health.problems == [f"an in-place restore is not complete; to resume: {command}"]
    assert health.outages == ()


def test_component_that_cannot_be_read_is_an_outage() -> None:
    health = assess(FakeContext(component=UnavailableError("no answer within 20 s")))
    assert not health.healthy
    assert health.data == ()
    assert "no answer within 20 s: cannot tell postgres-down" in health.outages[0]


def test_unreachable_cluster_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        assess(FakeContext(nodes=UnavailableError("the API server does not answer")))


def test_outage_does_not_hide_what_cannot_be_read() -> None:
    failing = (EndpointCheck("/contacts", "status 503"),)
    health = assess(FakeContext(component=UnavailableError("no answer within 20 s"), endpoints=failing))
    assert health.outages[0] == "edge /contacts: status 503"
    assert "no answer within 20 s" in health.outages[1]


def test_restore_that_cannot_be_read_is_a_problem() -> None:
    health = assess(FakeContext(unfinished_restore=UnavailableError("no answer within 20 s")))
    assert health.problems == ["no answer within 20 s: cannot tell whether a restore is unfinished"]


def test_checks_wait_for_readings_until_their_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no outage: a check must not give up before the readings do."""
    monkeypatch.setattr(steady_state.find_problems, "__defaults__", (0.0,))
    monkeypatch.setattr(triage.run_checks, "__defaults__", (0.0,))

    class Slow(FakeContext):
        def component(self, name: str) -> ComponentHealth:
            time.sleep(0.2)
            return super().component(name)

    assert assess(Slow()).problems == []
