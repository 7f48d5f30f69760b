"""Cost of a node's disk: syncs per second as Postgres writes WAL, on the host and on a loop-mounted disk.

A sync is an `fdatasync` after overwriting 8 KiB of an existing file, as Postgres recycles its WAL segments,
or after appending 64 KiB to a growing file. Rounds alternate, so that other load on the machine affects all
of them equally.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra.zones import disks
from infra.zones.paths import ClusterPaths

ROUNDS = 5
SECONDS = 2.0
SEGMENT_BYTES = 16 << 20
"""A WAL segment of Postgres."""
_CLONE_NEWNS = 0x00020000


def overwrite(folder: Path) -> float:
    """Return syncs per second of 8 KiB each in a file with allocated blocks."""
    path = folder / "segment"
    if not path.exists():
        path.write_bytes(b"x" * SEGMENT_BYTES)
    return _rate(path, b"y" * 8192, os.O_WRONLY, SEGMENT_BYTES)


def append(folder: Path) -> float:
    """Return syncs per second of 64 KiB each at the end of a growing file."""
    path = folder / "grown"
    path.unlink(missing_ok=True)
    return _rate(path, b"y" * 65536, os.O_WRONLY | os.O_CREAT, 1 << 40)


def _rate(path: Path, data: bytes, flags: int, size: int) -> float:
    file = os.open(path, flags)
    try:
        os.fsync(file)
        started_at, count, offset = time.monotonic(), 0, 0
        while time.monotonic() - started_at < SECONDS:
            os.pwrite(file, data, offset)
            os.fdatasync(file)
            offset = (offset + len(data)) % size
            count += 1
        return count / (time.monotonic() - started_at)
    finally:
        os.close(file)


def mount_disk(paths: ClusterPaths, zone: str, *, direct: bool) -> Path:
    """Mount a disk as a node does.

    Args:
        paths: folders of the cluster.
        zone: zone of the disk.
        direct: whether to use direct I/O.

    Returns:
        The mount point.
    """
    paths.node(zone).mkdir(parents=True)
    disks.ensure(paths, zone)
    folder = paths.root / zone
    folder.mkdir()
    image = disks.disk_file(paths, zone)
    subprocess.run(["mount", "-o", "loop,noatime", image, folder], check=True)
    device = subprocess.run(["findmnt", "-no", "SOURCE", folder], check=True, capture_output=True, text=True)
    subprocess.run(["losetup", f"--direct-io={'on' if direct else 'off'}", device.stdout.strip()], check=True)
    return folder


def main() -> None:
    """Print the median of each rate over the rounds as JSON.

    Raises:
        OSError: a mount namespace cannot be created.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "cannot create a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        paths = ClusterPaths(Path(name), "bench")
        host = Path(name) / "host"
        host.mkdir()
        folders = {
            "host": host,
            "disk": mount_disk(paths, "buffered", direct=False),
            "disk, direct": mount_disk(paths, "direct", direct=True),
        }
        rates: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for disk, folder in folders.items():
                rates.setdefault(f"{disk}: overwrite", []).append(overwrite(folder))
                rates.setdefault(f"{disk}: append", []).append(append(folder))
        for folder in (folders["disk"], folders["disk, direct"]):
            subprocess.run(["umount", folder], check=True)
    medians = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    json.dump(medians, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
