"""Steps, an operator and a program for the tests of runs."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runbooks.check import Action, Check, CheckContext, Finding, Step, change_steps, read_steps, verify_steps
from runbooks.fakes import FakeContext
from runbooks.run_record import StepRecord
from runbooks.run_store import RunStore
from runbooks.runner import CommandResult, Runner

NOW = dt.datetime(2026, 12, 1, 3, tzinfo=dt.UTC)
SAFE = Action("wait", "Waits.", ("esq", "status", "{env}"), "safe", ("esq", "slo", "{env}"))
DISRUPTIVE = Action("restart", "Restarts.", ("esq", "deploy", "{env}"), "disruptive")
DESTRUCTIVE = Action("repair", "Deletes.", ("esq", "scrub", "{env}", "--repair"), "destructive")


def now() -> dt.datetime:
    return NOW


class Fault:
    """A problem that ends with a number of actions."""

    def __init__(self, actions_needed: int = 1) -> None:
        self.actions_needed = actions_needed
        self.commands: list[tuple[str, ...]] = []

    def check(self, _context: CheckContext) -> Finding | None:
        return Finding("it is broken", ("line 1",)) if self.actions_needed > 0 else None

    def run(self, argv: Sequence[str], timeout_seconds: float) -> CommandResult:
        assert timeout_seconds > 0
        self.commands.append(tuple(argv))
        if argv[1] != "slo":
            self.actions_needed -= 1
        return CommandResult(succeeded=True, reason="", output=f"ran {argv[1]}")

    @property
    def steps(self) -> tuple[Step, ...]:
        check = Check("postgres-down", "Whether it is broken.", self.check)
        return (*read_steps(check), *change_steps(SAFE, DISRUPTIVE, DESTRUCTIVE), *verify_steps(check))


class Answers:
    """An operator who gives the same answer to each question."""

    def __init__(self, *, approved: bool | None, is_unattended: bool = False) -> None:
        self.is_unattended = is_unattended
        self.approved = approved
        self.shown: list[str] = []
        self.questions: list[StepRecord] = []

    def show(self, step: StepRecord) -> None:
        self.shown.append(f"{step.id}: {step.state}")

    def approves(self, _action: Action, step: StepRecord) -> bool | None:
        self.questions.append(step)
        return self.approved


def open_store(folder: Path, fault: Fault) -> RunStore:
    return RunStore(folder, "local", now=now, find_steps=lambda _: fault.steps)


def runner(store: RunStore, fault: Fault, operator: Answers, **settings: float) -> Runner:
    return Runner(
        store,
        FakeContext,
        fault.run,
        operator,
        now=now,
        sleep=lambda _: None,
        verify_timeout_seconds=settings.get("verify", 0.0),
        check_timeout_seconds=settings.get("check", 10.0),
    )


class _Blocking(Fault):
    """A fault whose n-th call of anything blocks: the process is killed there."""

    def __init__(self, call: int, ready: Path) -> None:
        super().__init__()
        self._call = call
        self._ready = ready

    def _count(self) -> None:
        self._call -= 1
        if self._call == 0:
            self._ready.touch()
            time.sleep(600)

    def check(self, context: CheckContext) -> Finding | None:
        self._count()
        return super().check(context)

    def run(self, argv: Sequence[str], timeout_seconds: float) -> CommandResult:
        self._count()
        return super().run(argv, timeout_seconds)


def main(folder: str, call: int) -> None:
    """Create a run and walk until a call blocks."""
    fault = _Blocking(call, Path(folder) / "ready")
    store = open_store(Path(folder) / "runs", fault)
    runner(store, fault, Answers(approved=True), check=600.0).walk(store.create("postgres-down").id)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
