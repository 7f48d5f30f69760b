"""What a node's disk costs: syncs per second as Postgres writes its log, on the host and on a disk in a file.

A sync is `fdatasync` after 8 KiB are written over in a file that is there already, as Postgres recycles its
log; and the same after 64 KiB are appended to a growing file. Rounds alternate, so that whatever else the
machine does meets all of them.
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
from infra.zones.layout import Layout

ROUNDS = 5
SECONDS = 2.0
LOG_BYTES = 16 << 20
"""A segment of Postgres' log."""
_CLONE_NEWNS = 0x00020000


def over(folder: Path) -> float:
    """Return syncs per second of 8 KiB each in a file that has its blocks."""
    path = folder / "segment"
    if not path.exists():
        path.write_bytes(b"x" * LOG_BYTES)
    return _rate(path, b"y" * 8192, os.O_WRONLY, LOG_BYTES)


def append(folder: Path) -> float:
    """Return syncs per second of 64 KiB each at the end of a growing file."""
    path = folder / "grown"
    path.unlink(missing_ok=True)
    return _rate(path, b"y" * 65536, os.O_WRONLY | os.O_CREAT, 1 << 40)


def _rate(path: Path, data: bytes, flags: int, size: int) -> float:
    file = os.open(path, flags)
    try:
        os.fsync(file)
        begun, count, offset = time.monotonic(), 0, 0
        while time.monotonic() - begun < SECONDS:
            os.pwrite(file, data, offset)
            os.fdatasync(file)
            offset = (offset + len(data)) % size
            count += 1
        return count / (time.monotonic() - begun)
    finally:
        os.close(file)


def mounted(layout: Layout, zone: str, *, direct: bool) -> Path:
    """Mount a disk as a node does; return where."""
    layout.node(zone).mkdir(parents=True)
    disks.ensure(layout, zone)
    folder = layout.root / zone
    folder.mkdir()
    image = disks.image(layout, zone)
    subprocess.run(["mount", "-o", "loop,noatime", image, folder], check=True)
    device = subprocess.run(["findmnt", "-no", "SOURCE", folder], check=True, capture_output=True, text=True)
    subprocess.run(["losetup", f"--direct-io={'on' if direct else 'off'}", device.stdout.strip()], check=True)
    return folder


def main() -> None:
    """Print the median of each figure over the rounds as JSON."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        layout = Layout(Path(name), "bench")
        host = Path(name) / "host"
        host.mkdir()
        folders = {
            "host": host,
            "disk": mounted(layout, "buffered", direct=False),
            "disk, direct": mounted(layout, "direct", direct=True),
        }
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for place, folder in folders.items():
                found.setdefault(f"{place}: over", []).append(over(folder))
                found.setdefault(f"{place}: append", []).append(append(folder))
        for folder in (folders["disk"], folders["disk, direct"]):
            subprocess.run(["umount", folder], check=True)
    json.dump({key: round(statistics.median(each), 1) for key, each in found.items()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
