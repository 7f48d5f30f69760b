"""Identity of the process that holds a lock: whether it still runs can be told on its own machine only."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path

from infra.process_identity import ProcessIdentity, boot_id

_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class LockHolder:
    """A process, identified across machines and restarts.

    Attributes:
        user: `user@host`.
        process: the process on its machine.
        pid_namespace: in which the process id is valid; each container of a machine has its own.
    """

    user: str
    process: ProcessIdentity
    pid_namespace: str

    @classmethod
    def of_this_process(cls) -> LockHolder:
        """Return the identity of this process."""
        user = f"{getpass.getuser()}@{socket.gethostname()}"
        return cls(user, ProcessIdentity.current(), _pid_namespace())

    @classmethod
    def parse(cls, identity: str) -> LockHolder | None:
        """Return the holder of an identity; None when it is not one of ours."""
        try:
            user, pid, start_ticks, boot, pid_namespace = identity.split(" ")
            process = ProcessIdentity(pid=int(pid), start_ticks=int(start_ticks), boot_id=boot)
        except ValueError:
            return None
        return cls(user, process, pid_namespace)

    @property
    def identity(self) -> str:
        """`user@host pid start-ticks boot-id pid-namespace`."""
        process = self.process
        return f"{self.user} {process.pid} {process.start_ticks} {process.boot_id} {self.pid_namespace}"

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine that does not run any more."""
        return self._is_visible and not self.process.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether it is a process of this machine that runs."""
        return self._is_visible and self.process.is_alive

    @property
    def _is_visible(self) -> bool:
        """Whether its process id means the same process here."""
        return (self.process.boot_id, self.pid_namespace) == (boot_id(), _pid_namespace())

    def __str__(self) -> str:
        return f"{self.user}, process {self.process.pid}"


def _pid_namespace() -> str:
    return str(_PID_NAMESPACE.readlink())
