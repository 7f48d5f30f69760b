"""Events of the engine, reduced to status, changes, failures and warnings."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from cli.diagnostics import ObjectReference
from cli.pulumi_events import EngineRun, resource_name, strip_colours

STACK = "urn:pulumi:local-data::esq::"
POSTGRES = f"{STACK}esq:data:Postgres$kubernetes:apps/v1:StatefulSet::postgres"
KAFKA = f"{STACK}esq:data:Kafka$kubernetes:apps/v1:StatefulSet::kafka"
ROOT = f"{STACK}pulumi:pulumi:Stack::esq-local-data"


def event(**kinds: object) -> EngineEvent:
    return EngineEvent.from_json({"sequence": 1, "timestamp": 0, **kinds})


def step(urn: str, op: str, **more: object) -> dict[str, Any]:
    return {
        "metadata": {"op": op, "urn": urn, "type": urn.split("::")[2].rsplit("$", maxsplit=1)[-1], **more}
    }


def diagnostic(
    message: str, urn: str = "", severity: str = "info", *, ephemeral: bool = False
) -> EngineEvent:
    return event(
        diagnosticEvent={"message": message, "severity": severity, "urn": urn, "ephemeral": ephemeral}
    )


@pytest.fixture
def statuses() -> list[str]:
    return []


@pytest.fixture
def run(statuses: list[str]) -> EngineRun:
    return EngineRun(statuses.append)


def test_resource_name_is_kind_and_name() -> None:
    assert resource_name(POSTGRES) == "StatefulSet postgres"


def test_colours_are_stripped() -> None:
    assert strip_colours("<{%fg 1%}>no<{%reset%}> \x1b[31mgood\x1b[0m\n") == "no good"


def test_status_line_shows_resource_and_status(run: EngineRun, statuses: list[str]) -> None:
    run.handle(event(resourcePreEvent=step(POSTGRES, "create")))
    run.handle(diagnostic("2 of 3 ready", POSTGRES, ephemeral=True))
    assert statuses[-1] == "StatefulSet postgres: 2 of 3 ready"
    run.handle(event(resOutputsEvent=step(POSTGRES, "create")))
    assert statuses[-1] == ""


def test_status_line_names_at_most_two_resources(run: EngineRun, statuses: list[str]) -> None:
    for number in range(5):
        run.handle(event(resourcePreEvent=step(f"{POSTGRES}{number}", "create")))
    assert statuses[-1].endswith("and 3 more")


def test_unchanged_resources_and_the_stack_are_ignored(run: EngineRun) -> None:
    for urn, op in ((POSTGRES, "same"), (ROOT, "create")):
        run.handle(event(resourcePreEvent=step(urn, op)))
        run.handle(event(resOutputsEvent=step(urn, op)))
    assert run.changes == []
    assert run.status_line() == ""


def test_changes_have_fields_without_values(run: EngineRun) -> None:
    detailed = {"spec.replicas": {"diffKind": "update"}, "data.password": {"diffKind": "add"}}
    run.handle(event(resOutputsEvent=step(KAFKA, "update", detailedDiff=detailed)))
    (change,) = run.changes
    assert (change.resource, change.operation) == ("StatefulSet kafka", "update")
    assert change.fields == ("data.password", "spec.replicas")


def test_failure_collects_all_messages_of_its_resource(run: EngineRun) -> None:
    run.handle(event(resourcePreEvent=step(POSTGRES, "create")))
    run.handle(diagnostic("postgres-0: CrashLoopBackOff", POSTGRES, "error"))
    state = {"type": "", "urn": POSTGRES, "id": "x", "initErrors": ["log: no space left"]}
    run.handle(event(resOpFailedEvent=step(POSTGRES, "create", new=state)))
    (failure,) = run.failures.values()
    assert failure.resource == "StatefulSet postgres"
    assert failure.reference is None
    assert failure.reasons == ["postgres-0: CrashLoopBackOff", "log: no space left"]
    assert run.status_line() == ""


def test_failure_has_the_reference_of_its_object(run: EngineRun) -> None:
    metadata = {"namespace": "data", "name": "pg"}
    inputs = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata}
    state = {"type": "", "urn": POSTGRES, "id": "", "inputs": inputs, "outputs": {}}
    run.handle(event(resOpFailedEvent=step(POSTGRES, "create", new=state)))
    (failure,) = run.failures.values()
    assert failure.reference == ObjectReference("apps/v1", "StatefulSet", "data", "pg")


def test_errors_without_a_resource_are_collected_once(run: EngineRun) -> None:
    run.handle(diagnostic("no such provider", "", "error"))
    run.handle(diagnostic("update failed", ROOT, "error"))
    assert run.errors == ["no such provider"]
    assert run.failures == {}


def test_warnings_are_collected(run: EngineRun) -> None:
    run.handle(diagnostic("deprecated", POSTGRES, "warning"))
    assert run.warnings == ["deprecated"]


def test_summary_event_sets_the_counts(run: EngineRun) -> None:
    run.handle(event(summaryEvent={"resourceChanges": {"same": 4, "create": 1}, "durationSeconds": 2}))
    assert run.counts == {"same": 4, "create": 1}
