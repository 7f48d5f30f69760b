"""Control groups of a cluster: one tree per zone in every mounted hierarchy (cgroup v1, hybrid layout).

Run as a program it makes the group named by its argument afresh; it imports nothing of ours, so that a node
starts without delay.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_INHERITED = ("cpuset.cpus", "cpuset.mems")
"""A new cpuset is empty on v1, and no process may enter it until these are filled."""


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """Return the root of each hierarchy once (`cpu` and `cpuacct` may be links to one)."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return sorted({folder.resolve() for folder in mount.iterdir() if (folder / "cgroup.procs").exists()})


def create(name: str, mount: Path = MOUNT) -> None:
    """Make the group `name` in every hierarchy."""
    for root in hierarchies(mount):
        group = root / name
        group.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (root / setting).exists():
                (group / setting).write_text((root / setting).read_text())


def remove(name: str, mount: Path = MOUNT) -> None:
    """Remove the group `name` with everything below, deepest first; its processes must have ended.

    A node's stale container groups cost its next kubelet about 3 s each, which is why a zone starts with
    none.
    """
    for root in hierarchies(mount):
        for folder, _, _ in os.walk(root / name, topdown=False):
            Path(folder).rmdir()


if __name__ == "__main__":
    remove(sys.argv[1])
    create(sys.argv[1])
