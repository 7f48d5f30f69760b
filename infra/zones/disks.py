"""A disk per node: an ext4 file system in a sparse file, mounted inside the node only.

Volumes have an end that is the node's own, as a cloud disk has, and no node can fill the host's disk by
accident or another's on purpose. The file takes of the host what was written to it.
The loop device belongs to the mount: when the node's last process dies, the kernel unmounts and detaches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.subprocesses import run

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths

SIZE_BYTES = 20 << 30
"""Three of them may together be more than the host has free: they are sparse, and a platform uses little."""
MOUNT_POINT = "/var/lib/esq/volumes"
DETACH_TIMEOUT_SECONDS = 30
"""A dead node's disk detaches when what it had not yet written is written."""
_FEATURES = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
"""Tables are filled when they are needed, and a sparse file has nothing to discard: made in 30 ms."""


def disk_file(paths: ClusterPaths, zone: str) -> Path:
    """Return the file that is a node's disk."""
    return paths.node(zone) / "volumes.img"


def ensure(paths: ClusterPaths, zone: str) -> None:
    """Make a node's disk if there is none; one that was being made is made afresh."""
    disk = disk_file(paths, zone)
    if disk.exists():
        return
    fresh = disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("r+b") as file:
        file.truncate(SIZE_BYTES)
    # No blocks are reserved for root: containers run as anybody, and full is to mean full.
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", _FEATURES, str(fresh)])
    fresh.replace(disk)


def mount_lines(paths: ClusterPaths, zone: str) -> list[str]:
    """Return shell lines that mount a node's disk; its journal mends what a dead node left.

    The disk of the node's former life must have detached: two devices on one file would ruin it.
    """
    disk = disk_file(paths, zone)
    detached = f"[ -z \"$(losetup -j '{disk}')\" ]"
    return [
        f"for _ in $(seq {DETACH_TIMEOUT_SECONDS * 20}); do {detached} && break; sleep 0.05; done",
        detached,
        f"mount -o loop,noatime '{disk}' {MOUNT_POINT}",
        # Syncs go straight to the host's disk: a third more of them, and no page is cached twice.
        f'losetup --direct-io=on "$(findmnt -no SOURCE {MOUNT_POINT})"',
    ]
