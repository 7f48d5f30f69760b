"""What the machine says of a pod: its control groups, and the host's processes in them.

Nothing here is held: processes and groups vanish while they are looked at, and one that is gone is left out.
Control groups are those of cgroup v1, as kubelets of the zones make them:
`MOUNT/CONTROLLER/ZONE/kubepods[/CLASS]/podUID/CONTAINER`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.zones.cgroups import MOUNT

if TYPE_CHECKING:
    from infra.zones.spec import ClusterSpec

PROC = Path("/proc")
_START = 19
"""Place of the start time in /proc/PID/stat behind the name in brackets (field 22 of proc(5))."""
_PARENT = 1
UNLIMITED = -1
"""What the kernel takes for no limit."""
_PAGES_UNLIMITED = 1 << 62
"""A memory limit above this is how the kernel writes none."""


class HostProcess(BaseModel):
    """A process of a container as the host sees it.

    Attributes:
        pid: its number on the host.
        started: clock ticks from boot to its start; number and start together never come again.
        parent: number of its parent on the host.
        name: what the kernel calls it, at most 15 characters.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started: int
    parent: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"


def process(pid: int, proc: Path = PROC) -> HostProcess | None:
    """Return process `pid`; None when it is not there, or dead and only not yet buried."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(") ")
    fields = rest.split()
    if fields[0] in {"Z", "X"}:
        return None
    return HostProcess(pid=pid, started=int(fields[_START]), parent=int(fields[_PARENT]), name=name)


def zone_group(spec: ClusterSpec, zone: str, controller: str, mount: Path = MOUNT) -> Path:
    """Return the control group of a whole zone in the hierarchy of `controller`."""
    return mount / controller / spec.namespace(zone)


def pod_group(uid: str, controller: str, mount: Path = MOUNT) -> Path | None:
    """Return the control group of a pod in the hierarchy of `controller`; None when it is gone.

    Args:
        uid: `metadata.uid` of the pod.
        controller: name of the hierarchy's folder, e.g. `memory`.
        mount: where control groups are mounted.
    """
    for pattern in (f"*/kubepods/*/pod{uid}", f"*/kubepods/pod{uid}"):
        for group in (mount / controller).glob(pattern):
            return group
    return None


def container_group(uid: str, container: str, controller: str, mount: Path = MOUNT) -> Path | None:
    """Return the control group of a pod's container; None when it is gone.

    Args:
        uid: `metadata.uid` of the pod.
        container: `containerID` of its status, with or without `containerd://`.
        controller: name of the hierarchy's folder, e.g. `cpu`.
        mount: where control groups are mounted.
    """
    pod = pod_group(uid, controller, mount)
    group = pod / container.rpartition("/")[2] if pod else None
    return group if group and group.is_dir() else None


def processes(group: Path | None, proc: Path = PROC) -> tuple[HostProcess, ...]:
    """Return the live processes of `group` and of the groups below, by start time."""
    if group is None:
        return ()
    numbers: set[int] = set()
    for path in (group, *sorted(group.rglob("*"))):
        with suppress(OSError):
            numbers |= {int(line) for line in (path / "cgroup.procs").read_text().split()}
    found = [each for pid in numbers if (each := process(pid, proc))]
    return tuple(sorted(found, key=lambda each: (each.started, each.pid)))


def main_process(found: tuple[HostProcess, ...]) -> HostProcess | None:
    """Return the process that the container lives and dies with: the one whose parent is outside of it."""
    inside = {each.pid for each in found}
    return next((each for each in found if each.parent not in inside), None)


def named(found: tuple[HostProcess, ...], name: str) -> tuple[HostProcess, ...]:
    """Return the processes called `name`, the eldest first: of `postgres`, that is the postmaster."""
    return tuple(each for each in found if each.name == name)


def cpu_quota(group: Path) -> int:
    """Return the quota of a group of `cpu` in microseconds per period; `UNLIMITED` when there is none."""
    return int((group / "cpu.cfs_quota_us").read_text())


def memory_limit(group: Path) -> int:
    """Return the limit of a group of `memory` in bytes; `UNLIMITED` when there is none."""
    limit = int((group / "memory.limit_in_bytes").read_text())
    return UNLIMITED if limit > _PAGES_UNLIMITED else limit
