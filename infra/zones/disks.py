"""One disk per machine: an ext4 file system in a sparse file, mounted only for the processes of that machine.

A machine is a node, whose volumes are on its disk, or the control plane, whose disk holds the data of etcd.
Volumes have a size limit of their own, as on a cloud disk: no node can fill the disk of the host or of
another node. A disk can lose its power apart from the host, which `chaos.faults.power_loss` does. The file
occupies only the space that was written. The loop device belongs to the mount: when the machine's last
process exits, the kernel unmounts and detaches it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths

SIZE_BYTES = 20 << 30
"""Three disks may exceed the free space of the host: they are sparse, and a platform uses little."""
CONTROL_PLANE = "control"
"""The machine of the control plane, named as its network namespace."""
MOUNT_POINT = "/var/lib/esq/volumes"
"""Mount point inside a node; the disk of the control plane is mounted over etcd's folder."""
DETACH_TIMEOUT_SECONDS = 30
"""The disk of a dead node detaches after its dirty pages are written."""
_FEATURES = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
"""Tables are initialised on demand, and a sparse file has nothing to discard: mkfs takes 30 ms."""


def disk_file(paths: ClusterPaths, machine: str) -> Path:
    """Return the file of a disk.

    Args:
        paths: files of the cluster.
        machine: zone of a node, or `CONTROL_PLANE`.
    """
    return paths.root / "etcd.img" if machine == CONTROL_PLANE else paths.node(machine) / "volumes.img"


def ensure(paths: ClusterPaths, machine: str) -> None:
    """Create a machine's disk if it does not exist; an incomplete one is created again.

    Args:
        paths: files of the cluster.
        machine: zone of a node, or `CONTROL_PLANE`.
    """
    disk = disk_file(paths, machine)
    if not disk.exists():
        create(disk)


def create(disk: Path, size_bytes: int = SIZE_BYTES) -> None:
    """Create a disk, or replace one.

    Args:
        disk: its file.
        size_bytes: size in bytes.
    """
    fresh = disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("r+b") as file:
        file.truncate(size_bytes)
    # No blocks are reserved for root: containers run as any user, and the limit holds for all of them.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", _FEATURES, str(fresh)])
    fresh.replace(disk)


def mount_lines(disk: Path, mount_point: str) -> list[str]:
    """Return shell lines that mount a disk; the journal repairs what a dead machine left.

    The previous loop device must be detached: two devices on one file would corrupt it.

    Args:
        disk: file of the disk.
        mount_point: existing folder.
    """
    file, folder = shlex.quote(str(disk)), shlex.quote(mount_point)
    detached = f'[ -z "$(losetup -j {file})" ]'
    return [
        f"for _ in $(seq {DETACH_TIMEOUT_SECONDS * 20}); do {detached} && break; sleep 0.05; done",
        detached,
        f"mount -o loop,noatime {file} {folder}",
        # Direct I/O: a third more syncs per second, and no page is cached twice.
        f'losetup --direct-io=on "$(findmnt -no SOURCE {folder})"',
    ]
