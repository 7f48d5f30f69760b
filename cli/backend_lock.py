"""Locks that a run of the engine left in the backend: removed only when their owner is known to be gone.

The engine names the owners of a lock in its message, for every backend that has such locks. A process of
another machine may be alive, whatever it looks like from here.
"""

from __future__ import annotations

import datetime as dt
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psutil
from pulumi.automation.errors import ConcurrentUpdateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi import automation as auto

_OWNER = re.compile(r"created by \S+@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
_CLOCK_RESOLUTION_SECONDS = 2.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class LockOwner:
    """The process that created a lock.

    Attributes:
        host: name of its machine.
        pid: its process id there.
        since: when it created the lock.
    """

    host: str
    pid: int
    since: dt.datetime

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that does not run any more."""
        return self.host == socket.gethostname() and not is_running(self.pid, before=self.since.timestamp())


def lock_owners(message: str) -> list[LockOwner]:
    """Return the owners that a message of the engine names."""
    return [
        LockOwner(match["host"], int(match["pid"]), dt.datetime.fromisoformat(match["since"]))
        for match in _OWNER.finditer(message)
    ]


def is_running(pid: int, *, before: float) -> bool:
    """Return whether the process runs that had this id at a time, not a later one with the same id.

    Args:
        pid: process id.
        before: time at which it ran, in seconds since the epoch.
    """
    try:
        process = psutil.Process(pid)
        started, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return False
    return started <= before + _CLOCK_RESOLUTION_SECONDS and status != psutil.STATUS_ZOMBIE


def without_dead_locks(stack: auto.Stack, action: Callable[[], Result]) -> Result:
    """Run an action on a stack; repeat it once when its lock was left by processes of this machine.

    Args:
        stack: the stack.
        action: a command of the engine that takes the stack's lock.

    Raises:
        ConcurrentUpdateError: the stack is locked by a process that may run.
    """
    try:
        return action()
    except ConcurrentUpdateError as error:
        owners = lock_owners(str(error))
        if not owners or not all(owner.is_gone for owner in owners):
            raise
        stack.cancel()
        return action()
