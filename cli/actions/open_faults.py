"""Open faults of an environment: show them and undo them.

Depends on the journal only: it must work when nothing else does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos import watchdog
from chaos.faults import render
from chaos.journal import UndoFailedError, UndoJournal
from chaos.journal_entry import seconds_since_boot
from chaos.run_lock import ActiveRun, active_run

if TYPE_CHECKING:
    from chaos.journal_entry import OpenFault
    from cli.environment import Environment
    from infra.errors import Problem
    from infra.progress import ProgressReporter, ProgressStep

ROLLBACK_ATTEMPTS = 3
"""Attempts of one command: enough for a server that restarts, few enough for a person who waits."""


@dataclass(frozen=True)
class FaultStatus:
    """An open fault at a moment.

    Attributes:
        entry: its entry in the journal.
        age_seconds: time since its injection began.
        owner_alive: whether the process that injected it runs.
        is_left: whether its undo is overdue: without owner, after its deadline, or after a failed undo.
        expires_seconds: time until the watchdog undoes it in any case; negative after that.
        retry_seconds: time until the watchdog repeats a failed undo; 0 if it is due.
    """

    entry: OpenFault
    age_seconds: float
    owner_alive: bool
    is_left: bool
    expires_seconds: float
    retry_seconds: float

    @property
    def undo(self) -> str:
        """The undo commands, to paste."""
        return render(self.entry.fault.undo)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        entry = self.entry
        return {
            "id": entry.id,
            "fault": str(entry.fault),
            "state": entry.state.value,
            "experiment": entry.experiment,
            "run_id": entry.run_id,
            "age_seconds": round(self.age_seconds, 1),
            "owner_pid": entry.owner.pid,
            "owner_alive": self.owner_alive,
            "left": self.is_left,
            "expires_in_seconds": round(self.expires_seconds, 1),
            "undo_failures": entry.undo_failures,
            "undo_error": entry.undo_error,
            "retry_in_seconds": round(self.retry_seconds, 1),
            "undo": self.undo.splitlines(),
        }


@dataclass(frozen=True)
class JournalStatus:
    """The journal of an environment at a moment.

    Attributes:
        run: the run in progress on this machine; None if there is none.
        is_watched: whether a watchdog runs.
        faults: the open faults, oldest first.
        problems: the entries that cannot be read.
    """

    run: ActiveRun | None
    is_watched: bool
    faults: tuple[FaultStatus, ...]
    problems: tuple[Problem, ...]

    @property
    def needs_rollback(self) -> bool:
        """Whether a fault is open that no run will undo in time."""
        return bool(self.problems) or any(fault.is_left for fault in self.faults)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "run": self.run and self.run.model_dump(mode="json"),
            "watchdog": self.is_watched,
            "needs_rollback": self.needs_rollback,
            "faults": [fault.to_dict() for fault in self.faults],
            "unreadable": [
                {"message": problem.message, "location": problem.location, "remedy": problem.remedy}
                for problem in self.problems
            ],
        }


def open_journal(environment: Environment) -> UndoJournal:
    """Return the undo journal of an environment."""
    return UndoJournal(environment.folder / "chaos" / "open", environment.name)


def journal_status(journal: UndoJournal) -> JournalStatus:
    """Read the journal, the run lock and the lock of the watchdog."""
    contents = journal.read()
    return JournalStatus(
        active_run(journal),
        watchdog.is_watched(journal),
        tuple(_fault_status(entry) for entry in contents.open_faults),
        contents.problems,
    )


def _fault_status(entry: OpenFault) -> FaultStatus:
    now = seconds_since_boot()
    return FaultStatus(
        entry=entry,
        age_seconds=max(0.0, time.time() - entry.opened_at),
        owner_alive=entry.owner.is_alive,
        is_left=entry.overdue(now),
        expires_seconds=entry.expires_at - now,
        retry_seconds=0.0 if entry.retry_due(now) else entry.retry_at - now,
    )


def rollback(journal: UndoJournal, progress: ProgressReporter) -> list[OpenFault]:
    """Undo every open fault; repeat an undo that fails.

    Args:
        journal: the journal of the environment.
        progress: receives the step.

    Returns:
        The undone faults.

    Raises:
        UndoFailedError: a fault could not be undone, or an entry cannot be read; the error names all of them,
            and those that were undone.
    """
    undone: list[OpenFault] = []
    with progress.step("rollback") as step:
        for attempt in range(1, ROLLBACK_ATTEMPTS + 1):
            try:
                undone += journal.rollback()
                break
            except UndoFailedError as error:
                undone += error.undone
                error.undone = tuple(undone)
                if attempt == ROLLBACK_ATTEMPTS or not _wait_for_retry(journal, step):
                    raise
        step.set_result(", ".join(str(open_fault.fault) for open_fault in undone) or "no open faults")
    return undone


def _wait_for_retry(journal: UndoJournal, step: ProgressStep) -> bool:
    """Wait for the next attempt; return False if no entry can be tried again."""
    faults = journal_status(journal).faults
    if faults:
        step.set_status(f"repeating the undo of {', '.join(str(fault.entry.fault) for fault in faults)}")
        time.sleep(max(fault.retry_seconds for fault in faults))
    return bool(faults)
