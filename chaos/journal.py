"""Write-ahead undo journal: the undo commands of a fault are on disk before it is injected.

A journal file is written and synced before the first command of its fault runs, and deleted after the last
undo command succeeded. Whatever fails in between (killed process, lost terminal, host crash), the folder
contains the commands to run: for the experiment itself, for `esq chaos rollback`, for the watchdog, or
for a person, because a journal file holds plain commands. Repeating an undo is harmless.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ConfigDict

from chaos.faults import Fault, render
from infra.errors import EsqError
from infra.subprocesses import CommandFailedError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND_TIMEOUT_SECONDS = 60.0


class UndoFailedError(EsqError):
    """A fault could not be undone; the detail contains the undo commands."""


class ProcessIdentity(BaseModel):
    """A process, identified by its id and start time, since process ids are reused.

    Attributes:
        pid: process id.
        started_at: start time in seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started_at: float

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return this process."""
        return cls(pid=os.getpid(), started_at=psutil.Process().create_time())

    @property
    def is_alive(self) -> bool:
        """Whether the process is running; a zombie is not."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started_at and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class OpenFault(BaseModel):
    """A journal entry: a fault that is injected and not undone.

    Attributes:
        id: id of the entry; ids sort by time.
        fault: the injected fault with its undo commands.
        experiment: name of the experiment that injected it.
        opened_at: time of the injection (seconds since the epoch).
        expires_at: deadline of the undo, regardless of the experiment (seconds since the epoch).
        owner: process that injected it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    fault: Fault
    experiment: str
    opened_at: float
    expires_at: float
    owner: ProcessIdentity

    def overdue(self, now: float) -> bool:
        """Return whether the deadline has passed or the owner is gone."""
        return now > self.expires_at or not self.owner.is_alive


class UndoJournal:
    """The open faults of an environment.

    Args:
        folder: folder of the journal files.
        environment: name of the environment, for messages.
        clock: returns seconds since the epoch, the same in all processes of the host.
    """

    def __init__(
        self, folder: Path, environment: str = "ENV", clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._environment = environment
        self._clock = clock

    def open_faults(self) -> list[OpenFault]:
        """Return the open faults, oldest first."""
        open_faults = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                open_faults.append(OpenFault.model_validate_json(file.read_text()))
            except FileNotFoundError:
                continue  # undone by another process in the meantime
        return open_faults

    def inject(self, fault: Fault, *, experiment: str, max_seconds: float) -> OpenFault:
        """Write the undo commands of `fault`, then inject it; undo it if a command fails.

        Args:
            fault: the fault to inject.
            experiment: name of the experiment.
            max_seconds: time after which the watchdog undoes the fault.

        Returns:
            The journal entry.

        Raises:
            CommandFailedError: an injection command failed.
        """
        now = self._clock()
        open_fault = OpenFault(
            id=f"{int(now * 1000)}-{uuid.uuid4().hex[:8]}",
            fault=fault,
            experiment=experiment,
            opened_at=now,
            expires_at=now + max_seconds,
            owner=ProcessIdentity.current(),
        )
        self._write(open_fault)
        try:
            for command in fault.inject:
                run(command, timeout=COMMAND_TIMEOUT_SECONDS)
        except BaseException:
            self.undo(open_fault)
            raise
        return open_fault

    def undo(self, open_fault: OpenFault) -> None:
        """Undo an open fault; do nothing if it was undone before.

        Raises:
            UndoFailedError: an undo command failed; the fault stays in the journal.
        """
        with self._locked():
            if not self._file(open_fault).exists():
                return
            failures = [failure for command in open_fault.fault.undo if (failure := _failure(command))]
            if failures:
                raise UndoFailedError(
                    f"{open_fault.fault} is not undone",
                    location=str(self._file(open_fault)),
                    remedy=f"Repeat `esq chaos rollback {self._environment}`, or run the commands below.",
                    detail="\n".join([*failures, "", render(open_fault.fault.undo)]),
                )
            self._file(open_fault).unlink()

    def rollback(self, *, select: Callable[[OpenFault], bool] = lambda _: True) -> list[OpenFault]:
        """Undo all open faults for which `select` returns True, newest first.

        Returns:
            The faults that were undone.

        Raises:
            UndoFailedError: at least one fault could not be undone; all of them were tried.
        """
        undone, failures = [], []
        for open_fault in filter(select, reversed(self.open_faults())):
            try:
                self.undo(open_fault)
                undone.append(open_fault)
            except UndoFailedError as error:
                failures.append(error)
        if failures:
            raise UndoFailedError(
                "; ".join(error.message for error in failures),
                location=str(self.folder),
                remedy=failures[0].remedy,
                detail="\n\n".join(error.detail for error in failures),
            )
        return undone

    def _file(self, open_fault: OpenFault) -> Path:
        return self.folder / f"{open_fault.id}.json"

    def _write(self, open_fault: OpenFault) -> None:
        """Write the entry and sync file and folder to disk."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.folder / f".{open_fault.id}.new"
        with open(temporary, "w", encoding="utf-8", opener=_owner_only) as file:
            file.write(open_fault.model_dump_json(indent=2))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._file(open_fault))
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the journal: only one process undoes faults at a time."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _failure(command: tuple[str, ...]) -> str:
    """Run an undo command; return the error, or an empty string."""
    try:
        run(command, timeout=COMMAND_TIMEOUT_SECONDS)
    except CommandFailedError as error:
        return f"{error.message}: {error.detail.strip()}"
    return ""
