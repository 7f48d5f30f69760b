"""Entry of the undo journal: a fault that is being injected, or is injected and not undone."""

from __future__ import annotations

import errno
import random
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from chaos.faults import Fault  # noqa: TC001 - pydantic reads the annotations when the class is created
from infra.errors import Problem
from infra.process_identity import ProcessIdentity, boot_id

if TYPE_CHECKING:
    from pathlib import Path

MAX_RETRY_SECONDS = 60.0
"""Longest mean time between two attempts to undo a fault."""


class FaultState(StrEnum):
    """State of a fault in the journal.

    Attributes:
        INJECTING: its commands may be running.
        OPEN: all of its commands have succeeded.
    """

    INJECTING = "injecting"
    OPEN = "open"


class OpenFault(BaseModel):
    """A journal entry.

    Attributes:
        id: id of the entry; ids sort by time.
        state: progress of the injection.
        fault: the fault with its undo commands.
        experiment: name of the experiment that injected it.
        run_id: run of the experiment; empty if the journal was used without a run.
        owner: process that injected it.
        opened_at: time of the injection (seconds since the epoch), for people.
        expires_at: deadline of the undo, regardless of the experiment (seconds since boot).
        undo_failures: number of failed attempts to undo it.
        undo_error: reason of the last failure.
        retry_at: time of the next attempt after a failed one (seconds since boot).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    state: FaultState
    fault: Fault
    experiment: str
    run_id: str
    owner: ProcessIdentity
    opened_at: float
    expires_at: float
    undo_failures: int = 0
    undo_error: str = ""
    retry_at: float = 0.0

    def overdue(self, now: float) -> bool:
        """Return whether its undo is due for others than its owner.

        That is so after its deadline, without its owner, and after its owner failed to undo it.

        Args:
            now: time in seconds since boot.
        """
        return now > self.expires_at or self.undo_failures > 0 or not self.owner.is_alive

    def retry_due(self, now: float) -> bool:
        """Return whether the time after a failed undo has passed; times of an earlier boot mean nothing.

        Args:
            now: time in seconds since boot.
        """
        return now >= self.retry_at or self.owner.boot_id != boot_id()

    def after_failure(self, reason: str, now: float) -> OpenFault:
        """Return the entry after a failed undo, with a jittered time of the next attempt.

        Args:
            reason: reason of the failure.
            now: time in seconds since boot.
        """
        failures = self.undo_failures + 1
        mean = min(2.0 ** (failures - 1), MAX_RETRY_SECONDS)
        delay = mean * random.uniform(0.5, 1.5)  # noqa: S311 - not used for security
        return self.model_copy(
            update={"undo_failures": failures, "undo_error": reason, "retry_at": now + delay}
        )


def seconds_since_boot() -> float:
    """Return the time that deadlines are compared with: the same in all processes, and never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_entry(file: Path) -> OpenFault | Problem | None:
    """Read an entry.

    Args:
        file: file of the entry.

    Returns:
        The entry; a problem if it cannot be read; None if it was undone in the meantime.
    """
    try:
        entry = OpenFault.model_validate_json(_content(file))
        # The name of the file is the id: an entry that a person copied or renamed can be deleted too.
        return entry.model_copy(update={"id": file.stem})
    except FileNotFoundError:
        if not file.is_symlink():
            return None
        reason = "it is a link to a missing file"
    except OSError as error:
        reason = error.strerror or str(error)
    except ValidationError as error:
        reason = "; ".join(_violation(detail["loc"], detail["msg"]) for detail in error.errors())
    return Problem(
        f"the journal entry cannot be read: {reason}",
        location=str(file),
        remedy="Run the undo commands that it contains, check the fault's target, then delete it.",
    )


def _content(file: Path) -> bytes:
    if file.exists() and not file.is_file():  # reading a pipe would never end
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file.read_bytes()


def _violation(path: tuple[int | str, ...], message: str) -> str:
    return ": ".join(filter(None, (".".join(map(str, path)), message)))
