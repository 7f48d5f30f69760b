"""Runs of runbooks: steps, decisions, deadlines, and a kill at any step."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.errors import EsqError
from runbooks.check import Check, CheckContext, Finding, UnavailableError, read_steps
from runbooks.fakes import FakeContext
from runbooks.run_store import RunInProgressError, RunStore
from runbooks.runner import CommandResult, Runner
from tests.unit.runbooks import run_steps
from tests.unit.runbooks.run_steps import DISRUPTIVE, Answers, Fault, now, open_store, runner

PROJECT = Path(__file__).resolve().parents[3]
START_TIMEOUT_SECONDS = 60.0


def states(store: RunStore, run_id: str) -> list[str]:
    return [step.state for step in store.read(run_id).steps]


def test_run_stops_at_the_first_action_that_helps(tmp_path: Path) -> None:
    fault, operator = Fault(), Answers(approved=True)
    store = open_store(tmp_path, fault)
    record = runner(store, fault, operator).walk(store.create("postgres-down").id)

    assert record.phase == record.state == "resolved"
    assert [step.state for step in record.steps] == ["finding", "done", "skipped", "skipped", "good"]
    assert record.steps[0].reason == "it is broken"
    assert fault.commands == [("esq", "slo", "local"), ("esq", "status", "local")]
    assert operator.questions[0].evidence == ("ran slo",)
    assert operator.questions[0].command == "esq status local"


def test_every_action_is_proposed_until_one_helps(tmp_path: Path) -> None:
    fault, operator = Fault(actions_needed=2), Answers(approved=True)
    store = open_store(tmp_path, fault)
    record = runner(store, fault, operator).walk(store.create("postgres-down").id)

    assert [step.state for step in record.steps] == ["finding", "done", "done", "skipped", "good"]


def test_declined_actions_do_not_run(tmp_path: Path) -> None:
    fault, operator = Fault(), Answers(approved=False)
    store = open_store(tmp_path, fault)
    record = runner(store, fault, operator).walk(store.create("postgres-down").id)

    assert record.phase == "unresolved"
    assert [step.state for step in record.steps] == ["finding", "declined", "declined", "declined", "finding"]
    assert fault.commands == [("esq", "slo", "local")]


def test_without_a_person_actions_wait_and_a_later_walk_continues(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, fault)
    record = runner(store, fault, Answers(approved=None)).walk(store.create("postgres-down").id)
    assert record.state == "waiting"
    assert record.is_open
    assert [step.state for step in record.steps][1:4] == ["proposed"] * 3

    resumed = runner(store, fault, Answers(approved=True)).walk(record.id)
    assert resumed.phase == "resolved"


def test_run_that_waited_reads_again_before_it_changes_anything(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, fault)
    record = runner(store, fault, Answers(approved=None)).walk(store.create("postgres-down").id)
    fault.actions_needed = 0  # it has ended meanwhile
    fault.commands.clear()

    resumed = runner(store, fault, Answers(approved=True)).walk(record.id)

    assert resumed.phase == "resolved"
    assert [step.state for step in resumed.steps] == ["finding", "skipped", "skipped", "skipped", "good"]
    assert fault.commands == []


def test_nothing_is_proposed_if_nothing_is_wrong(tmp_path: Path) -> None:
    fault, operator = Fault(actions_needed=0), Answers(approved=True)
    store = open_store(tmp_path, fault)
    record = runner(store, fault, operator).walk(store.create("postgres-down").id)

    assert record.phase == "resolved"
    assert operator.questions == []


def _hang(_context: CheckContext) -> Finding | None:
    threading.Event().wait(600)
    return None


def _unreadable(_context: CheckContext) -> Finding | None:
    raise UnavailableError("the API server does not answer")


def _defective(_context: CheckContext) -> Finding | None:
    raise KeyError("zone")


def test_check_that_hangs_fails_or_cannot_read_is_never_good_and_blocks_nothing(tmp_path: Path) -> None:
    checks = [Check(f.__name__, "d", f) for f in (_hang, _unreadable, _defective)]
    steps = read_steps(*checks, Check("broken", "d", lambda _: Finding("broken")))
    store = RunStore(tmp_path, "local", now=now, find_steps=lambda _: steps)
    record = runner(store, Fault(), Answers(approved=None), check=0.2).walk(store.create("postgres-down").id)

    assert [step.state for step in record.steps] == ["unread", "unread", "unread", "finding"]
    assert [step.reason for step in record.steps] == [
        "no answer within 0.2 s",
        "the API server does not answer",
        "the check failed: KeyError: 'zone'",
        "broken",
    ]
    assert record.phase == "unresolved"


def test_run_whose_alerts_have_ended_is_resolved_if_the_problem_is_gone(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, fault)
    walker = runner(store, fault, Answers(approved=None))
    run = walker.walk(store.create("postgres-down").id)
    assert walker.close(run.id).state == "waiting"

    fault.actions_needed = 0
    closed = walker.close(run.id)
    assert closed.state == "resolved"
    assert [step.state for step in closed.steps] == ["finding", "skipped", "skipped", "skipped", "good"]


def test_failed_command_is_recorded_with_its_reason(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, fault)
    failing = Runner(
        store,
        FakeContext,
        lambda *_: CommandResult(succeeded=False, reason="exited with code 1", output="a\nb"),
        Answers(approved=True),
        now=now,
        sleep=lambda _: None,
        verify_timeout_seconds=0.0,
    )
    record = failing.walk(store.create("postgres-down").id)

    assert (record.steps[1].state, record.steps[1].reason) == ("failed", "exited with code 1")
    assert record.steps[1].evidence == ("a", "b")
    assert record.phase == "unresolved"


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, fault)
    run = store.create("postgres-down")
    with store.working_on(run.id), pytest.raises(RunInProgressError, match="is running by process"):
        runner(store, fault, Answers(approved=True)).walk(run.id)
    with pytest.raises(EsqError, match="of this runbook is running"):
        store.create("postgres-down")


CALLS = ("look", "dry run", "action", "verify")


@pytest.mark.parametrize("call", range(1, len(CALLS) + 1), ids=CALLS)
def test_run_killed_at_any_step_is_interrupted_and_continues(tmp_path: Path, call: int) -> None:
    """The run of another process is killed while a call blocks; then this process continues it."""
    command = [sys.executable, run_steps.__file__, str(tmp_path), str(call)]
    process = subprocess.Popen(command, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)})
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        fault = Fault()
        store = open_store(tmp_path / "runs", fault)
        (before,) = store.records()
        assert before.state == "running"
    finally:
        process.kill()
        process.wait()

    killed_at = time.monotonic()
    (interrupted,) = store.records()
    assert (interrupted.phase, interrupted.state) == ("running", "interrupted")
    assert time.monotonic() - killed_at < 10
    assert (
        interrupted.progress == ("0/5 look postgres-down", *["1/5 act wait"] * 2, "2/5 act restart")[call - 1]
    )

    operator = Answers(approved=True)
    fault.actions_needed = 0 if CALLS[call - 1] == "verify" else 1
    record = runner(store, fault, operator).walk(interrupted.id)
    assert record.state == "resolved"
    assert store.records() == [record]
    if CALLS[call - 1] == "action":
        assert "killed during this command" in operator.questions[0].reason


def test_killed_action_is_never_repeated_without_a_person(tmp_path: Path) -> None:
    fault, operator = Fault(), Answers(approved=False, is_unattended=True)
    store = open_store(tmp_path, fault)
    run = store.create("postgres-down")
    steps = list(run.steps)
    steps[0] = steps[0].model_copy(update={"state": "finding"})
    steps[1] = steps[1].model_copy(update={"state": "running"})
    store.update(run.id, lambda record: record.model_copy(update={"steps": tuple(steps)}))

    runner(store, fault, operator).walk(run.id)

    assert states(store, run.id)[1] == "proposed"
    assert [step.id for step in operator.questions][:1] == [f"act {DISRUPTIVE.id}"]
    assert ("esq", "status", "local") not in fault.commands
