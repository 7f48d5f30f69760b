"""Context of the running experiment: the target of its activities and the record of what they did.

Chaos Toolkit calls activities as plain functions with the arguments from the experiment file. Activities get
everything else from `current()`. The guard aborts from its own thread, therefore injection and undo exclude
each other, and nothing is injected after an abort.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed
from pydantic import BaseModel, ConfigDict

from chaos.faults import render
from chaos.journal import UndoFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.faults import Fault
    from chaos.journal_entry import OpenFault
    from chaos.target import Target
    from chaos.traffic.running import RunningTraffic
    from infra.progress import ProgressStep

MAX_FAULT_SECONDS = 600.0
"""The watchdog undoes a fault that is open for longer, regardless of the experiment."""
POLL_INTERVAL_SECONDS = 0.25


class Annotation(BaseModel):
    """An action of the experiment on the time axis.

    Attributes:
        at: time of the action (seconds, monotonic clock of the host).
        description: description, for example `node-death of zone-b`.
        is_injection: True for an injection, False for an undo.
        commands: the shell commands; empty if there are none.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    description: str
    is_injection: bool
    commands: str = ""


@dataclass
class Context:
    """A run of an experiment.

    Attributes:
        target: environment that the experiment runs on.
        experiment: name of the experiment.
        step: progress step that shows the current activity.
        run_id: marks the entries of this run in the undo journal.
        annotations: injections and undos so far.
        traffic: the running traffic clients; None if there are none.
        find_refusal: returns why nothing may be injected now; empty if it may. Set by the guard.
        problems: reasons why the run is invalid, e.g. a fault that somebody else undid.
    """

    target: Target
    experiment: str
    step: ProgressStep
    run_id: str = ""
    annotations: list[Annotation] = field(default_factory=list)
    traffic: RunningTraffic | None = None
    find_refusal: Callable[[], str] = str
    problems: list[str] = field(default_factory=list)
    _injected: dict[str, Fault] = field(default_factory=dict)
    _abort_reason: str = ""
    _abort_requested: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def abort_reason(self) -> str:
        """Reason for the abort; empty if the run was not aborted."""
        return self._abort_reason

    def abort(self, reason: str) -> None:
        """Refuse all further injections; the first reason is kept."""
        self._abort_reason = self._abort_reason or reason
        self._abort_requested.set()

    def annotate(self, description: str, *, is_injection: bool, commands: str = "") -> None:
        """Mark this moment on the time axis of the run.

        Args:
            description: what happens.
            is_injection: True for an injection, False for an undo.
            commands: the shell commands; empty if there are none.
        """
        self.annotations.append(
            Annotation(
                at=time.monotonic(), description=description, is_injection=is_injection, commands=commands
            )
        )

    def require_permission(self) -> None:
        """Require that the run may disturb the target; abort it otherwise.

        Raises:
            ActivityFailed: the run was aborted, or the guard has no signal.
        """
        if reason := self._abort_reason or self.find_refusal():
            self.abort(reason)
            raise ActivityFailed(f"nothing is injected: {reason}")

    def inject(self, fault: Fault) -> None:
        """Inject a fault after its undo commands are in the journal.

        Raises:
            ActivityFailed: the run was aborted, or the guard has no signal.
            CommandFailedError: an injection command failed; the commands before it are undone.
            UndoFailedError: it failed or was interrupted, and is not undone; nothing more is injected.
        """
        with self._lock:
            self.require_permission()
            self.step.set_status(str(fault))
            started_at = time.monotonic()
            try:
                entry = self.target.journal.inject(
                    fault, experiment=self.experiment, max_seconds=MAX_FAULT_SECONDS, run_id=self.run_id
                )
            except UndoFailedError as error:  # it may hide an interruption of the injection
                self.abort(error.message)
                raise
            if fault.undo:
                self._injected[entry.id] = fault
            self.annotations.append(
                Annotation(
                    at=started_at, description=str(fault), is_injection=True, commands=render(fault.inject)
                )
            )

    def undo(self, kind: str = "") -> list[str]:
        """Undo open faults of this run, newest first.

        The journal says which, because the injection of a fault may have been interrupted at its end.

        Args:
            kind: kind of the faults; all if empty.

        Returns:
            The undone faults.

        Raises:
            UndoFailedError: a fault could not be undone; it stays in the journal, all others are undone, and
                nothing more is injected.
        """
        failures: list[UndoFailedError] = []
        undone = []
        with self._lock:
            open_faults = self.target.journal.open_faults()
            self._note_undone_by_others({open_fault.id for open_fault in open_faults})
            for open_fault in reversed(open_faults):
                if open_fault.run_id == self.run_id and kind in {"", open_fault.fault.kind}:
                    try:
                        self._undo(open_fault)
                        undone.append(str(open_fault.fault))
                    except UndoFailedError as error:
                        failures.append(error)
        if failures:
            raise UndoFailedError.of_all(failures)
        return undone

    def _undo(self, open_fault: OpenFault) -> None:
        self.step.set_status(f"undoing {open_fault.fault}")
        try:
            self.target.journal.undo(open_fault)
        except BaseException:
            self.abort(f"{open_fault.fault} is not undone")
            raise
        self._injected.pop(open_fault.id, None)
        self.annotate(
            f"{open_fault.fault} undone", is_injection=False, commands=render(open_fault.fault.undo)
        )

    def _note_undone_by_others(self, open_ids: set[str]) -> None:
        """Note faults that lasted for less time than the experiment says: their measurements flatter."""
        for entry_id in self._injected.keys() - open_ids:
            fault = self._injected.pop(entry_id)
            self.problems.append(f"{fault} was undone by another process: a rollback, or the watchdog")

    def wait(self, seconds: float, reason: str) -> None:
        """Wait, unless the run is aborted.

        Args:
            seconds: duration in seconds.
            reason: reason, shown as progress.

        Raises:
            ActivityFailed: the run was aborted.
        """
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self.step.set_status(f"{reason}, {remaining:.0f} s")
            if self._abort_requested.wait(min(POLL_INTERVAL_SECONDS, remaining)):
                raise ActivityFailed(f"aborted: {self._abort_reason}")


_running: Context | None = None


def activate(context: Context | None) -> None:
    """Make `context` the current one; None after the run."""
    global _running  # noqa: PLW0603 - Chaos Toolkit calls plain functions; only one run at a time
    _running = context


def current() -> Context:
    """Return the context of the running experiment.

    Raises:
        ActivityFailed: the control of esq is not active.
    """
    if _running is None:
        raise ActivityFailed(
            "the control of esq is not active: add it to the document, or start it with `esq chaos run`"
        )
    return _running
