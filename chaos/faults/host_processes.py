"""Cgroups and host processes of a pod.

Processes and cgroups may vanish while they are read; those that are gone are left out. The cgroups are those
of cgroup v1, as the kubelets of the zones create them:
`MOUNT/CONTROLLER/ZONE/kubepods[/CLASS]/podUID/CONTAINER`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.process_identity import PROC, read_stat
from infra.zones.cgroups import MOUNT

if TYPE_CHECKING:
    from pathlib import Path

UNLIMITED = -1
"""Value that sets no limit."""
_UNLIMITED_THRESHOLD = 1 << 62
"""The kernel reports a missing memory limit as a value above this one."""


class HostProcess(BaseModel):
    """A process of a container, as the host sees it.

    Attributes:
        pid: process id on the host.
        start_ticks: clock ticks from boot to its start; `pid` and `start_ticks` together are unique.
        parent_pid: process id of its parent on the host.
        name: name in the kernel, at most 15 characters.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    start_ticks: int
    parent_pid: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.pid}:{self.start_ticks}"


def process(pid: int, proc: Path = PROC) -> HostProcess | None:
    """Return a process; None if it does not exist or is a zombie.

    Args:
        pid: process id.
        proc: mount point of procfs.
    """
    stat = read_stat(pid, proc)
    if stat is None:
        return None
    return HostProcess(pid=pid, start_ticks=stat.start_ticks, parent_pid=stat.parent_pid, name=stat.name)


def pod_cgroup(uid: str, controller: str, mount: Path = MOUNT) -> Path | None:
    """Return the cgroup of a pod; None if it does not exist.

    Args:
        uid: `metadata.uid` of the pod.
        controller: folder of the hierarchy, for example `memory`.
        mount: mount point of the cgroups.
    """
    for pattern in (f"*/kubepods/*/pod{uid}", f"*/kubepods/pod{uid}"):
        for group in (mount / controller).glob(pattern):
            return group
    return None


def container_cgroup(uid: str, container: str, controller: str, mount: Path = MOUNT) -> Path | None:
    """Return the cgroup of a container; None if it does not exist.

    Args:
        uid: `metadata.uid` of the pod.
        container: `containerID` of its status, with or without `containerd://`.
        controller: folder of the hierarchy, for example `cpu`.
        mount: mount point of the cgroups.
    """
    pod = pod_cgroup(uid, controller, mount)
    group = pod / container.rpartition("/")[2] if pod else None
    return group if group and group.is_dir() else None


def processes(group: Path | None, proc: Path = PROC) -> tuple[HostProcess, ...]:
    """Return the live processes of a cgroup and its children, by start time.

    Args:
        group: the cgroup; None for no processes.
        proc: mount point of procfs.
    """
    if group is None:
        return ()
    pids: set[int] = set()
    for path in (group, *sorted(group.rglob("*"))):
        with suppress(OSError):
            pids |= {int(line) for line in (path / "cgroup.procs").read_text().split()}
    live_processes = [candidate for pid in pids if (candidate := process(pid, proc))]
    return tuple(sorted(live_processes, key=lambda candidate: (candidate.start_ticks, candidate.pid)))


def main_process(members: tuple[HostProcess, ...]) -> HostProcess | None:
    """Return the main process of a container, whose parent is not in `members`; None without members."""
    pids = {member.pid for member in members}
    return next((member for member in members if member.parent_pid not in pids), None)


def processes_named(members: tuple[HostProcess, ...], name: str) -> tuple[HostProcess, ...]:
    """Return the processes with a name, oldest first: the first `postgres` is the postmaster.

    Args:
        members: processes of a container.
        name: name of the process in the kernel.
    """
    return tuple(member for member in members if member.name == name)


def cpu_quota(group: Path) -> int:
    """Return the quota of a `cpu` cgroup in microseconds per period; `UNLIMITED` if there is none."""
    return int((group / "cpu.cfs_quota_us").read_text())


def memory_limit(group: Path) -> int:
    """Return the limit of a `memory` cgroup in bytes; `UNLIMITED` if there is none."""
    limit = int((group / "memory.limit_in_bytes").read_text())
    return UNLIMITED if limit > _UNLIMITED_THRESHOLD else limit
