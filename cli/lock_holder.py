"""Identity of the process that holds a lock: whether it still runs can be told on its own machine only."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.backend_lock import is_running

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class LockHolder:
    """A process, identified across machines and restarts.

    Attributes:
        user: `user@host`.
        pid: process id.
        started: start of the process, in seconds since the epoch.
        boot_id: identity of the machine since its last start.
    """

    user: str
    pid: int
    started: float
    boot_id: str

    @classmethod
    def of_this_process(cls) -> LockHolder:
        """Return the identity of this process."""
        process = psutil.Process()
        user = f"{getpass.getuser()}@{socket.gethostname()}"
        return cls(user, process.pid, process.create_time(), _boot_id())

    @classmethod
    def parse(cls, identity: str) -> LockHolder | None:
        """Return the holder of an identity; None when it is not one of ours."""
        try:
            user, pid, started, boot_id = identity.split(" ")
            return cls(user, int(pid), float(started), boot_id)
        except ValueError:
            return None

    @property
    def identity(self) -> str:
        """`user@host pid start-time boot-id`."""
        return f"{self.user} {self.pid} {self.started:.2f} {self.boot_id}"

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that does not run any more."""
        return self.boot_id == _boot_id() and not is_running(self.pid, before=self.started)

    def __str__(self) -> str:
        return f"{self.user}, process {self.pid}"


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
