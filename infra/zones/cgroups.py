"""Control groups of a cluster: one tree per zone in every mounted hierarchy (cgroup v1, hybrid layout).

Run as a program it makes the group named by its argument afresh; it imports nothing of ours, so that a node
starts without delay.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
REMOVE_TIMEOUT_SECONDS = 5.0
"""A killed process leaves its group a moment after its parent has heard of its end."""
_INHERITED = ("cpuset.cpus", "cpuset.mems")
"""A new cpuset is empty on v1, and no process may enter it until these are filled."""


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """Return the root of each hierarchy once (`cpu` and `cpuacct` may be links to one)."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return sorted({folder.resolve() for folder in mount.iterdir() if (folder / "cgroup.procs").exists()})


def group_folders(name: str, mount: Path = MOUNT) -> list[Path]:
    """Return where the group `name` is, for those who look whether it is left."""
    return [root / name for root in hierarchies(mount) if (root / name).is_dir()]


def create(name: str, mount: Path = MOUNT) -> None:
    """Make the group `name` in every hierarchy."""
    for root in hierarchies(mount):
        group = root / name
        group.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (root / setting).exists():
                (group / setting).write_text((root / setting).read_text())


def thaw(name: str, mount: Path = MOUNT) -> None:
    """Let the group `name` run if it was frozen: what is frozen cannot even die."""
    state = mount / "freezer" / name / "freezer.state"
    if state.exists():
        state.write_text("THAWED")


def remove(name: str, mount: Path = MOUNT) -> None:
    """Remove the group `name` with everything below, deepest first; its processes must have ended.

    A node's stale container groups cost its next kubelet about 3 s each, which is why a zone starts with
    none.

    Raises:
        OSError: a process is still in it after `BUSY_SECONDS`.
    """
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    thaw(name, mount)
    for root in hierarchies(mount):
        while not _try_remove(root / name):
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "a process is still in the control group", str(root / name))
            time.sleep(0.02)


def _try_remove(group: Path) -> bool:
    """Remove `group` and everything below; False when a process of it has not quite ended."""
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
