"""The undo journal: before anything is hurt, how to put it back is on disk.

An entry is written and synced before the first command of its fault is run, and taken away after the last
command that undoes it has succeeded. Whatever happens in between (a killed tool, a full terminal, a crash of
the machine), whoever reads the folder knows what to run: the tool itself, `esq chaos recover`, the dead-man
timer, or a person, since an entry holds plain commands. Undoing twice is harmless.
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

COMMAND_SECONDS = 60.0


class UndoFailedError(EsqError):
    """Something stays hurt; the commands that would undo it are told."""


class Owner(BaseModel):
    """The process that opened a fault; its start tells it from a later one of the same number.

    Attributes:
        pid: process id.
        started: seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        """Return this process."""
        return cls(pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class Entry(BaseModel):
    """An open fault.

    Attributes:
        id: of this entry; later entries sort later.
        fault: what was done, and what undoes it.
        experiment: which one did it.
        opened: when (seconds since the epoch).
        expires: when it has to be undone, whatever the experiment says.
        owner: who did it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    fault: Fault
    experiment: str
    opened: float
    expires: float
    owner: Owner

    def overdue(self, now: float) -> bool:
        """Tell whether nobody will undo it any more, or not in time."""
        return now > self.expires or not self.owner.alive


class UndoJournal:
    """The open faults of an environment.

    Args:
        folder: where they are written down.
        clock: seconds since the epoch, as every process of the machine counts them.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def entries(self) -> list[Entry]:
        """Return the open faults, the oldest first."""
        found = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                found.append(Entry.model_validate_json(file.read_text()))
            except FileNotFoundError:
                continue  # undone by another process meanwhile
        return found

    def inject(self, fault: Fault, *, experiment: str, seconds: float) -> Entry:
        """Write down how to undo `fault`, then do it; what fails half way is undone.

        Args:
            fault: what to do.
            experiment: on whose behalf.
            seconds: after which it has to be undone, whatever happens.

        Raises:
            CommandFailedError: one of its commands failed.
        """
        now = self._clock()
        entry = Entry(
            id=f"{int(now * 1000)}-{uuid.uuid4().hex[:8]}",
            fault=fault,
            experiment=experiment,
            opened=now,
            expires=now + seconds,
            owner=Owner.me(),
        )
        self._write(entry)
        try:
            for command in fault.inject:
                run(command, timeout=COMMAND_SECONDS)
        except BaseException:
            self.undo(entry)
            raise
        return entry

    def undo(self, entry: Entry) -> None:
        """Undo an open fault; nothing happens when that was done already.

        Raises:
            UndoFailedError: a command failed; the entry stays.
        """
        with self._alone():
            if not self._file(entry).exists():
                return
            failures = [failure for command in entry.fault.undo if (failure := _failure(command))]
            if failures:
                raise UndoFailedError(
                    f"{entry.fault} is not undone",
                    location=str(self._file(entry)),
                    remedy="Run `esq chaos recover` again, or the commands below by hand.",
                    detail="\n".join([*failures, "", render(entry.fault.undo)]),
                )
            self._file(entry).unlink()

    def recover(self, *, only: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """Undo all open faults, or those that `only` chooses, the newest first; return them.

        Raises:
            UndoFailedError: some could not be undone; all of them were tried.
        """
        undone, failures = [], []
        for entry in filter(only, reversed(self.entries())):
            try:
                self.undo(entry)
                undone.append(entry)
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

    def _file(self, entry: Entry) -> Path:
        return self.folder / f"{entry.id}.json"

    def _write(self, entry: Entry) -> None:
        """Have the entry on the disk, not only in memory, before anything is hurt."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.folder / f".{entry.id}.new"
        with open(fresh, "w", encoding="utf-8", opener=_owner_only) as file:
            file.write(entry.model_dump_json(indent=2))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._file(entry))
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time undo."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _failure(command: tuple[str, ...]) -> str:
    try:
        run(command, timeout=COMMAND_SECONDS)
    except CommandFailedError as error:
        return f"{error.message}: {error.detail.strip()}"
    return ""
