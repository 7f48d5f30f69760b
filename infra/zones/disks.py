"""One disk per node: an ext4 file system in a sparse file, mounted only inside the node.

Volumes have a size limit of their own, as on a cloud disk: no node can fill the disk of the host or of
another node. The file occupies only the space that was written. The loop device belongs to the mount: when
the node's last process exits, the kernel unmounts and detaches it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths

SIZE_BYTES = 20 << 30
"""Three disks may exceed the free space of the host: they are sparse, and a platform uses little."""
MOUNT_POINT = "/var/lib/esq/volumes"
DETACH_TIMEOUT_SECONDS = 30
"""The disk of a dead node detaches after its dirty pages are written."""
_FEATURES = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
"""Tables are initialised on demand, and a sparse file has nothing to discard: mkfs takes 30 ms."""


def disk_file(paths: ClusterPaths, zone: str) -> Path:
    """Return the file of a node's disk.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
    """
    return paths.node(zone) / "volumes.img"


def ensure(paths: ClusterPaths, zone: str) -> None:
    """Create a node's disk if it does not exist; an incomplete one is created again.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
    """
    disk = disk_file(paths, zone)
    if disk.exists():
        return
    fresh = disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("r+b") as file:
        file.truncate(SIZE_BYTES)
    # No blocks are reserved for root: containers run as any user, and the limit holds for all of them.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", _FEATURES, str(fresh)])
    fresh.replace(disk)


def mount_lines(paths: ClusterPaths, zone: str) -> list[str]:
    """Return shell lines that mount a node's disk; the journal repairs what a dead node left.

    The previous loop device must be detached: two devices on one file would corrupt it.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
    """
    disk = disk_file(paths, zone)
    detached = f"[ -z \"$(losetup -j '{disk}')\" ]"
    return [
        f"for _ in $(seq {DETACH_TIMEOUT_SECONDS * 20}); do {detached} && break; sleep 0.05; done",
        detached,
        f"mount -o loop,noatime '{disk}' {MOUNT_POINT}",
        # Direct I/O: a third more syncs per second, and no page is cached twice.
        f'losetup --direct-io=on "$(findmnt -no SOURCE {MOUNT_POINT})"',
    ]
