"""Write-ahead undo journal: the undo commands of a fault are on disk before it is injected.

An entry is written and synced as `injecting` before the first command of its fault runs, becomes `open` when
all have succeeded, and is deleted after the last undo command succeeded. Whatever fails in between (killed
process, lost terminal, host crash), the folder contains the commands to run: for the experiment itself, for
`esq chaos rollback`, for the watchdog, or for a person, because an entry contains plain commands.

No command of an injection acts after its undo: commands start under the lock of their entry and only while
it exists, and an undo, under the same lock, first ends those that run. Repeating an undo is harmless.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from chaos.faults import render
from chaos.journal_entry import FaultState, OpenFault, seconds_since_boot
from chaos.journal_files import EntryLockedError, JournalContents, JournalFiles
from infra import guarded_commands
from infra.errors import EsqError
from infra.process_identity import ProcessIdentity
from infra.subprocesses import CommandFailedError, wait_for_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.faults import Command, Fault

COMMAND_TIMEOUT_SECONDS = 60.0


class UndoFailedError(EsqError):
    """A fault is not undone; the detail contains the undo commands.

    Attributes:
        undone: the faults that were undone by the same rollback.
    """

    undone: tuple[OpenFault, ...] = ()

    @classmethod
    def of_all(cls, failures: Sequence[EsqError]) -> UndoFailedError:
        """Return one error for several."""
        first = failures[0]
        details = (failure.detail or f"{failure.location}: {failure.remedy}" for failure in failures)
        return cls(
            "; ".join(failure.message for failure in failures),
            location=first.location,
            remedy=first.remedy,
            detail="\n\n".join(details),
        )


class InjectionStoppedError(EsqError):
    """Another process undid the fault while it was injected."""


class UndoJournal:
    """The open faults of an environment.

    Args:
        folder: folder of the entries.
        environment: name of the environment, for messages.
        clock: returns seconds since boot.
    """

    def __init__(
        self, folder: Path, environment: str = "ENV", clock: Callable[[], float] = seconds_since_boot
    ) -> None:
        self.folder = folder
        self.environment = environment
        self._clock = clock
        self._files = JournalFiles(folder)

    def read(self) -> JournalContents:
        """Read all entries.

        Raises:
            EsqError: the folder cannot be read.
        """
        return self._files.read()

    def open_faults(self) -> list[OpenFault]:
        """Return the entries that can be read, oldest first; see `read` for the others."""
        return list(self.read().open_faults)

    def inject(self, fault: Fault, *, experiment: str, max_seconds: float, run_id: str = "") -> OpenFault:
        """Write the undo commands of `fault`, then inject it; undo it if a command fails.

        A fault without undo leaves no entry: only its commands are ended if this process dies.

        Args:
            fault: the fault to inject.
            experiment: name of the experiment.
            max_seconds: time after which the watchdog undoes the fault.
            run_id: run of the experiment.

        Returns:
            The journal entry.

        Raises:
            CommandFailedError: an injection command failed.
            EsqError: the undo commands cannot be written; nothing was injected.
            InjectionStoppedError: another process undid the fault in the meantime.
            UndoFailedError: an injection command failed, and the fault could not be undone.
        """
        injecting = OpenFault(
            id=f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}",
            state=FaultState.INJECTING,
            fault=fault,
            experiment=experiment,
            run_id=run_id,
            owner=ProcessIdentity.current(),
            opened_at=time.time(),
            expires_at=self._clock() + max_seconds,
        )
        try:
            self._files.write(injecting)
            for command in fault.inject:
                self._run_injection(injecting, command)
            return self._complete(injecting)
        except BaseException:
            self.undo(injecting)
            raise

    def undo(self, open_fault: OpenFault) -> None:
        """Undo an open fault; do nothing if it was undone before.

        Raises:
            UndoFailedError: an undo command failed; the fault stays in the journal.
        """
        if not self._files.file(open_fault).exists():
            return
        try:
            with self._files.locked(open_fault):
                if self._files.file(open_fault).exists() and (reason := _undo(open_fault)):
                    with suppress(EsqError):  # a disk without space must not hide the reason
                        self._files.write(open_fault.after_failure(reason, self._clock()))
                    raise self._undo_failed(open_fault, reason)
                self._files.delete(open_fault)
        except (EntryLockedError, OSError) as error:
            raise self._undo_failed(open_fault, str(error)) from error

    def rollback(self, *, select: Callable[[OpenFault], bool] = lambda _: True) -> list[OpenFault]:
        """Undo all open faults for which `select` returns True, newest first.

        Returns:
            The faults that were undone.

        Raises:
            UndoFailedError: a fault could not be undone, or an entry cannot be read; all others are undone.
        """
        contents = self.read()
        undone: list[OpenFault] = []
        failures: list[EsqError] = []
        for open_fault in filter(select, reversed(contents.open_faults)):
            try:
                self.undo(open_fault)
                undone.append(open_fault)
            except UndoFailedError as error:
                failures.append(error)
        failures += [
            EsqError(problem.message, location=problem.location, remedy=problem.remedy)
            for problem in contents.problems
        ]
        if failures:
            incomplete = UndoFailedError.of_all(failures)
            incomplete.undone = tuple(undone)
            raise incomplete
        return undone

    def _run_injection(self, entry: OpenFault, command: Command) -> None:
        with self._files.locked(entry):
            self._require_present(entry)
            process = guarded_commands.start(command, entry.id)
        wait_for_output(process, command, timeout=COMMAND_TIMEOUT_SECONDS)

    def _complete(self, injecting: OpenFault) -> OpenFault:
        """Mark the entry as open; delete it if there is nothing to undo."""
        opened = injecting.model_copy(update={"state": FaultState.OPEN})
        with self._files.locked(injecting):
            self._require_present(injecting)
            if opened.fault.undo:
                self._files.write(opened)
            else:
                self._files.delete(opened)
        return opened

    def _require_present(self, entry: OpenFault) -> None:
        if not self._files.file(entry).exists():
            raise InjectionStoppedError(
                f"{entry.fault} was undone while it was injected",
                location=str(self._files.file(entry)),
                remedy="Another process rolled it back: `esq chaos rollback`, or the watchdog.",
            )

    def _undo_failed(self, open_fault: OpenFault, failure: str) -> UndoFailedError:
        return UndoFailedError(
            f"{open_fault.fault} is not undone",
            location=str(self._files.file(open_fault)),
            remedy=f"Repeat `esq chaos rollback {self.environment}`, or run the commands below.",
            detail="\n".join([failure, "", render(open_fault.fault.undo)]),
        )


def _undo(open_fault: OpenFault) -> str:
    """End what runs for a fault, then undo it; return the errors, or an empty string."""
    try:
        guarded_commands.end_all(open_fault.id)
    except guarded_commands.CommandsRunningError as error:
        return error.message
    return "\n".join(
        failure for command in open_fault.fault.undo if (failure := _command_failure(command, open_fault.id))
    )


def _command_failure(command: Command, mark: str) -> str:
    """Run an undo command; return the error, or an empty string."""
    try:
        process = guarded_commands.start(command, mark)
        wait_for_output(process, command, timeout=COMMAND_TIMEOUT_SECONDS)
    except CommandFailedError as error:
        return f"{error.message}: {error.detail.strip()}"
    return ""
