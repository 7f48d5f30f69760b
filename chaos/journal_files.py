"""Files of the undo journal: one per entry, written completely or not at all, with a lock beside it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.journal_entry import OpenFault, read_entry
from infra.errors import EsqError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_TIMEOUT_SECONDS = 300.0
"""Longer than another process needs for an undo with several commands."""
LOCK_POLL_SECONDS = 0.02


class EntryLockedError(EsqError):
    """Another process works on the entry for too long."""


@dataclass(frozen=True)
class JournalContents:
    """The entries of a journal.

    Attributes:
        open_faults: the entries, oldest first.
        problems: the entries that cannot be read; nothing undoes them but a person.
    """

    open_faults: tuple[OpenFault, ...]
    problems: tuple[Problem, ...]


class JournalFiles:
    """The entries in a folder.

    Args:
        folder: folder of the entries.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> JournalContents:
        """Read all entries.

        Raises:
            EsqError: the folder cannot be read.
        """
        try:
            names = sorted(path.name for path in self.folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise EsqError(
                f"the undo journal cannot be read: {error.strerror}",
                location=str(self.folder),
                remedy="Faults may be open. Make the folder readable, then repeat the command.",
            ) from error
        entries = [read_entry(self.folder / name) for name in names]
        return JournalContents(
            tuple(entry for entry in entries if isinstance(entry, OpenFault)),
            tuple(entry for entry in entries if isinstance(entry, Problem)),
        )

    def file(self, entry: OpenFault) -> Path:
        """Return the file of an entry."""
        return self.folder / f"{entry.id}.json"

    def write(self, entry: OpenFault) -> None:
        """Write an entry and sync file and folder to disk.

        Raises:
            EsqError: it cannot be written, for example because the disk is full.
        """
        temporary = self.folder / f".{entry.id}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(temporary, "w", encoding="utf-8", opener=_owner_only) as file:
                file.write(entry.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.file(entry))
            self._sync_folder()
        except OSError as error:
            raise EsqError(
                f"the undo journal cannot be written: {error.strerror}",
                location=str(self.folder),
                remedy="No fault is injected without its undo on disk. Repair the file system first.",
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def delete(self, entry: OpenFault) -> None:
        """Delete an entry, if it exists, and its lock, which the caller holds.

        A process that waits for this lock will find no entry.
        """
        self.file(entry).unlink(missing_ok=True)
        self._sync_folder()
        self._lock_file(entry).unlink(missing_ok=True)

    def delete_unfinished(self) -> None:
        """Delete what processes left that died while they wrote an entry; no command of these entries ran."""
        for file in self.folder.glob(".*.new"):
            file.unlink(missing_ok=True)

    @contextmanager
    def locked(self, entry: OpenFault) -> Iterator[None]:
        """Hold the lock of an entry.

        Raises:
            EntryLockedError: another process holds it for too long.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        # Only read, so that a disk that is full or read-only does not prevent an undo.
        lock = os.open(self._lock_file(entry), os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise EntryLockedError(
                        f"another process works on {entry.fault} for {LOCK_TIMEOUT_SECONDS:g} s",
                        location=str(self._lock_file(entry)),
                        remedy="End that process, then repeat the command.",
                    )
                time.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(lock)

    def _lock_file(self, entry: OpenFault) -> Path:
        return self.folder / f"{entry.id}.lock"

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
