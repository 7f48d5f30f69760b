"""The engine's events as people read them."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from cli.events import Run, clean, name

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
def waits() -> list[str]:
    return []


@pytest.fixture
def run(waits: list[str]) -> Run:
    return Run(waits.append)


def test_resources_are_called_by_kind_and_name() -> None:
    assert name(POSTGRES) == "StatefulSet postgres"


def test_colours_of_the_engine_are_taken_out() -> None:
    assert clean("<{%fg 1%}>no<{%reset%}> \x1b[31mgood\x1b[0m\n") == "no good"


def test_what_is_under_way_is_told_with_what_it_waits_for(run: Run, waits: list[str]) -> None:
    run.take(event(resourcePreEvent=step(POSTGRES, "create")))
    run.take(diagnostic("2 of 3 ready", POSTGRES, ephemeral=True))
    assert waits[-1] == "StatefulSet postgres: 2 of 3 ready"
    run.take(event(resOutputsEvent=step(POSTGRES, "create")))
    assert waits[-1] == ""


def test_of_many_only_two_are_named(run: Run, waits: list[str]) -> None:
    for number in range(5):
        run.take(event(resourcePreEvent=step(f"{POSTGRES}{number}", "create")))
    assert waits[-1].endswith("and 3 more")


def test_unchanged_resources_and_the_stack_itself_are_no_news(run: Run) -> None:
    for urn, op in ((POSTGRES, "same"), (ROOT, "create")):
        run.take(event(resourcePreEvent=step(urn, op)))
        run.take(event(resOutputsEvent=step(urn, op)))
    assert run.changes == []
    assert run.line() == ""


def test_changes_name_their_fields_without_values(run: Run) -> None:
    detailed = {"spec.replicas": {"diffKind": "update"}, "data.password": {"diffKind": "add"}}
    run.take(event(resOutputsEvent=step(KAFKA, "update", detailedDiff=detailed)))
    (change,) = run.changes
    assert (change.resource, change.operation) == ("StatefulSet kafka", "update")
    assert change.fields == ("data.password", "spec.replicas")


def test_a_failure_gathers_everything_said_about_its_resource(run: Run) -> None:
    run.take(event(resourcePreEvent=step(POSTGRES, "create")))
    run.take(diagnostic("postgres-0: CrashLoopBackOff", POSTGRES, "error"))
    state = {"type": "", "urn": POSTGRES, "id": "x", "initErrors": ["log: no space left"]}
    run.take(event(resOpFailedEvent=step(POSTGRES, "create", new=state)))
    (failure,) = run.failures.values()
    assert failure.resource == "StatefulSet postgres"
    assert failure.reasons == ["postgres-0: CrashLoopBackOff", "log: no space left"]
    assert run.line() == ""


def test_errors_of_no_resource_are_kept_apart_and_not_repeated(run: Run) -> None:
    run.take(diagnostic("no such provider", "", "error"))
    run.take(diagnostic("update failed", ROOT, "error"))
    assert run.errors == ["no such provider"]
    assert run.failures == {}


def test_warnings_are_kept(run: Run) -> None:
    run.take(diagnostic("deprecated", POSTGRES, "warning"))
    assert run.warnings == ["deprecated"]


def test_the_summary_counts(run: Run) -> None:
    run.take(event(summaryEvent={"resourceChanges": {"same": 4, "create": 1}, "durationSeconds": 2}))
    assert run.counts == {"same": 4, "create": 1}
