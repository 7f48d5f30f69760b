"""Identity of a process: its id, its start in clock ticks since the boot, and the boot.

Process ids are reused, and the wall clock may be set: neither identifies a process alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PROC = Path("/proc")
_BOOT_ID = "sys/kernel/random/boot_id"
_STATE_FIELD, _PARENT_PID_FIELD, _START_TICKS_FIELD = 0, 1, 19
"""Indexes in /proc/PID/stat after the name in brackets (fields 3, 4 and 22 of proc(5))."""


@dataclass(frozen=True)
class ProcessStat:
    """A process in procfs.

    Attributes:
        name: name in the kernel, at most 15 characters.
        parent_pid: process id of its parent.
        start_ticks: clock ticks from boot to its start.
    """

    name: str
    parent_pid: int
    start_ticks: int


def read_stat(pid: int, proc: Path = PROC) -> ProcessStat | None:
    """Return a process; None if it does not exist or is a zombie.

    Args:
        pid: process id.
        proc: mount point of procfs.
    """
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, stat_fields = text.partition("(")[2].rpartition(") ")
    fields = stat_fields.split()
    if fields[_STATE_FIELD] in {"Z", "X"}:
        return None
    return ProcessStat(name, int(fields[_PARENT_PID_FIELD]), int(fields[_START_TICKS_FIELD]))


class ProcessIdentity(BaseModel):
    """A process of one boot of this machine.

    Attributes:
        pid: process id.
        start_ticks: clock ticks from boot to its start.
        boot_id: identity of the boot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return this process.

        Raises:
            RuntimeError: procfs does not show it.
        """
        stat = read_stat(os.getpid())
        if stat is None:
            raise RuntimeError("/proc does not show this process")
        return cls(pid=os.getpid(), start_ticks=stat.start_ticks, boot_id=boot_id())

    @property
    def is_alive(self) -> bool:
        """Whether the process is running; a zombie is not."""
        stat = read_stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks and self.boot_id == boot_id()


def boot_id(proc: Path = PROC) -> str:
    """Return the identity of the machine's current boot."""
    return (proc / _BOOT_ID).read_text(encoding="ascii").strip()
