"""The experiment that is under way: what its activities act on, and where they say what they did.

Chaos Toolkit calls activities as plain functions with the arguments of the experiment's file; what they need
besides is found here.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed
from pydantic import BaseModel, ConfigDict

from chaos.faults import render
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.faults import Fault
    from chaos.journal import Entry
    from chaos.target import Target
    from infra.progress import ProgressStep

KEEP_OPEN_SECONDS = 600.0
"""A fault that is open longer is undone by the dead-man timer, whatever its experiment says."""
LOOK_SECONDS = 0.25


class Mark(BaseModel):
    """Something the experiment did.

    Attributes:
        at: when (seconds, the machine's monotonic clock).
        what: e.g. `zone-death of zone-b`.
        hurts: whether it hurt, rather than undid.
        commands: how, ready to paste; empty for what is no fault.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    what: str
    hurts: bool
    commands: str = ""


@dataclass
class Context:
    """A run of an experiment.

    Attributes:
        target: what it is run on.
        experiment: its name.
        step: told what it waits for.
        marks: what it did.
        troubles: what was not well when it should have been.
    """

    target: Target
    experiment: str
    step: ProgressStep
    marks: list[Mark] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    _open: list[Entry] = field(default_factory=list)
    _aborted: str = ""
    _abort: threading.Event = field(default_factory=threading.Event)

    @property
    def aborted(self) -> str:
        """Why the guard ended the run early; empty when it did not."""
        return self._aborted

    def abort(self, reason: str) -> None:
        """End the run as soon as it waits for anything; the first reason is kept."""
        self._aborted = self._aborted or reason
        self._abort.set()

    def inject(self, fault: Fault) -> None:
        """Do a fault, after its undoing was written down.

        Raises:
            CommandFailedError: it could not be done; what was done of it is undone.
        """
        self.step.set_status(str(fault))
        began = time.monotonic()
        if fault.undo:
            journal = self.target.journal
            entry = journal.inject(fault, experiment=self.experiment, seconds=KEEP_OPEN_SECONDS)
            self._open.append(entry)
        else:
            for command in fault.inject:
                run(command)
        self.marks.append(Mark(at=began, what=str(fault), hurts=True, commands=render(fault.inject)))

    def undo(self) -> None:
        """Undo what this run left open, the newest first.

        Raises:
            UndoFailedError: something could not be undone; its entry stays in the journal.
        """
        while self._open:
            entry = self._open[-1]
            self.step.set_status(f"undoing {entry.fault}")
            self.target.journal.undo(entry)
            self._open.pop()
            commands = render(entry.fault.undo)
            self.marks.append(
                Mark(at=time.monotonic(), what=f"{entry.fault} undone", hurts=False, commands=commands)
            )

    def hold(self, seconds: float, why: str) -> None:
        """Let time pass.

        Raises:
            ActivityFailed: the guard aborted the run.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.step.set_status(f"{why}, {left:.0f} s")
            if self._abort.wait(min(LOOK_SECONDS, left)):
                raise ActivityFailed(f"aborted: {self._aborted}")


_running: Context | None = None


@contextmanager
def running(context: Context) -> Iterator[Context]:
    """Make `context` the one that activities find."""
    global _running  # noqa: PLW0603 - Chaos Toolkit calls plain functions; a run at a time is the rule
    _running = context
    try:
        yield context
    finally:
        _running = None


def current() -> Context:
    """Return the run that is under way.

    Raises:
        ActivityFailed: there is none.
    """
    if _running is None:
        raise ActivityFailed("no experiment is under way: run it by `esq chaos run`")
    return _running
