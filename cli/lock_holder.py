"""Identity of the process that holds a lock: whether it still runs can be told on its own machine only."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.backend_lock import is_running

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class LockHolder:
    """A process, identified across machines and restarts.

    Attributes:
        user: `user@host`.
        pid: process id.
        started: start of the process, in seconds since the epoch.
        boot_id: identity of the machine since its last start.
        pid_namespace: in which the process id is valid; each container of a machine has its own.
    """

    user: str
    pid: int
    started: float
    boot_id: str
    pid_namespace: str

    @classmethod
    def of_this_process(cls) -> LockHolder:
        """Return the identity of this process."""
        process = psutil.Process()
        user = f"{getpass.getuser()}@{socket.gethostname()}"
        return cls(user, process.pid, process.create_time(), _boot_id(), _pid_namespace())

    @classmethod
    def parse(cls, identity: str) -> LockHolder | None:
        """Return the holder of an identity; None when it is not one of ours."""
        try:
            user, pid, started, boot_id, pid_namespace = identity.split(" ")
            return cls(user, int(pid), float(started), boot_id, pid_namespace)
        except ValueError:
            return None

    @property
    def identity(self) -> str:
        """`user@host pid start-time boot-id pid-namespace`."""
        return f"{self.user} {self.pid} {self.started:.2f} {self.boot_id} {self.pid_namespace}"

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that does not run any more."""
        return self._is_visible and not is_running(self.pid, before=self.started)

    @property
    def is_alive(self) -> bool:
        """Whether it is a process of this machine that runs."""
        return self._is_visible and is_running(self.pid, before=self.started)

    @property
    def _is_visible(self) -> bool:
        """Whether its process id means the same process here."""
        return (self.boot_id, self.pid_namespace) == (_boot_id(), _pid_namespace())

    def __str__(self) -> str:
        return f"{self.user}, process {self.pid}"


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _pid_namespace() -> str:
    return str(_PID_NAMESPACE.readlink())
