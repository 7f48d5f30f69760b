"""Control groups of a cluster: one tree per zone in every mounted hierarchy (cgroup v1, hybrid layout).

Run as a program, it recreates the group that its argument names. It imports no other module of this project,
so that a node starts without delay.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
REMOVE_TIMEOUT_SECONDS = 5.0
"""A killed process leaves its group shortly after its parent received its exit status."""
_INHERITED = ("cpuset.cpus", "cpuset.mems")
"""A new cpuset is empty on v1; no process can enter it until these files are set."""


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """Return the root of each hierarchy once (`cpu` and `cpuacct` may be links to one)."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return sorted({folder.resolve() for folder in mount.iterdir() if (folder / "cgroup.procs").exists()})


def create(name: str, mount: Path = MOUNT) -> None:
    """Create a group in every hierarchy.

    Args:
        name: name of the group.
        mount: where the hierarchies are mounted.
    """
    for root in hierarchies(mount):
        group = root / name
        group.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (root / setting).exists():
                (group / setting).write_text((root / setting).read_text())


def thaw(name: str, mount: Path = MOUNT) -> None:
    """Thaw a group if it is frozen: a frozen process cannot be killed.

    Args:
        name: name of the group.
        mount: where the hierarchies are mounted.
    """
    state = mount / "freezer" / name / "freezer.state"
    if state.exists():
        state.write_text("THAWED")


def remove(name: str, mount: Path = MOUNT) -> None:
    """Remove a group and its subgroups, deepest first; its processes must have exited.

    Each stale container group costs the next kubelet of the node about 3 s; a zone therefore starts without
    any.

    Args:
        name: name of the group.
        mount: where the hierarchies are mounted.

    Raises:
        OSError: a process is still in the group after `REMOVE_TIMEOUT_SECONDS`.
    """
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    thaw(name, mount)
    for root in hierarchies(mount):
        while not _try_remove(root / name):
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "a process is still in the control group", str(root / name))
            time.sleep(0.02)


def _try_remove(group: Path) -> bool:
    """Remove `group` and its subgroups; return False while a process of it is still exiting."""
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


if __name__ == "__main__":
    remove(sys.argv[1])
    create(sys.argv[1])
