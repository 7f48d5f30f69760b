"""Disks that are full, processors that are slow, memory that is short.

Limits of control groups (v1) take their value at once, and the old one is an argument, since what is undone
must not depend on what is found then. A group that is gone needs no undo: the next container has a new one.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault
from chaos.faults.hosts import UNLIMITED
from infra.zones import disks

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.layout import Layout

BALLAST = ".chaos-ballast"
"""File in the root of a node's disk that takes the room of others."""
_LAST_MEBIBYTES = 4
"""Written out, as the file system takes some of what it calls free for itself."""
PERIOD = 100_000
"""Microseconds over which a processor quota counts: the kernel's default and the kubelet's."""
_MINIMUM_QUOTA = 1_000
_SQUEEZE = """\
cd "$0" || exit 1
used=$(cat memory.usage_in_bytes)
held=$(sed -n 's/^total_rss //p' memory.stat)
wanted=$((held + $1))
for tenth in 9 8 7 6 5 4 3 2 1 0; do
    echo $((wanted + (used - wanted) * tenth / 10)) 2>/dev/null > memory.limit_in_bytes || break
done
[ "$(cat memory.limit_in_bytes)" -lt "$2" ]"""
"""Lowers the limit of group $0 to what is held plus $1 bytes, or as far as the kernel can reclaim."""


def disk_full(layout: Layout, zone: str, leave_mebibytes: int = 0) -> Fault:
    """Fill the disk of a zone's node until `leave_mebibytes` are left; the host's own disk is not filled.

    The disk is mounted once more, in a mount namespace of its own: this works whether the node runs or not,
    and the kernel sees one file system whoever mounts it.
    """
    if leave_mebibytes < 0:
        raise ValueError(f"{leave_mebibytes} MiB cannot be left")
    fill = (
        f"room=$(($(df --output=avail --block-size=1M /mnt | tail -n 1) - {leave_mebibytes})); "
        f'[ "$room" -lt {_LAST_MEBIBYTES} ] || '
        f"fallocate --length $((room - {_LAST_MEBIBYTES}))MiB /mnt/{BALLAST}; "
        f'[ "$room" -le 0 ] || dd if=/dev/zero of=/mnt/{BALLAST} bs=64K count={_LAST_MEBIBYTES * 16} '
        "oflag=append conv=notrunc,fsync || true"
    )
    return Fault(
        kind="disk-full",
        target=f"{zone} ({leave_mebibytes} MiB left)",
        inject=(_on_disk(layout, zone, fill, missing=1),),
        undo=(_on_disk(layout, zone, f"rm -f /mnt/{BALLAST}", missing=0),),
    )


def cpu_pressure(target: str, group: Path, cores: float, before: int = UNLIMITED) -> Fault:
    """Give a zone or container no more processor time than that of `cores` processors.

    Args:
        target: whose group it is, e.g. `zone-b` or `pod esq-data/postgres-0`.
        group: in the hierarchy `cpu`. The kernel refuses a group less than any group below it is promised.
        cores: e.g. 0.2.
        before: quota to restore, from `hosts.cpu_quota`.
    """
    quota = round(cores * PERIOD)
    if quota < _MINIMUM_QUOTA:
        raise ValueError(f"{cores} processors are less than the kernel can give")
    setting = group / "cpu.cfs_quota_us"
    return Fault(
        kind="cpu-pressure",
        target=f"{target} ({cores:g} cores)",
        inject=(_set(setting, quota),),
        undo=(_restore(setting, before),),
    )


def memory_pressure(target: str, group: Path, headroom_bytes: int, before: int = UNLIMITED) -> Fault:
    """Leave a container `headroom_bytes` above what it holds: caches go first, then who grows is killed.

    Args:
        target: whose group it is, e.g. `pod esq-data/postgres-0`.
        group: in the hierarchy `memory`.
        headroom_bytes: for caches and growth, beyond anonymous memory at the time.
        before: limit to restore, from `hosts.memory_limit`.
    """
    if headroom_bytes < 0:
        raise ValueError("memory that is held cannot be taken away")
    setting = group / "memory.limit_in_bytes"
    roof = str(before if before != UNLIMITED else 1 << 62)
    return Fault(
        kind="memory-pressure",
        target=f"{target} ({headroom_bytes >> 20} MiB of room)",
        inject=(("sh", "-c", _SQUEEZE, str(group), str(headroom_bytes), roof),),
        undo=(_restore(setting, before),),
    )


def _on_disk(layout: Layout, zone: str, line: str, *, missing: int) -> Command:
    image = shlex.quote(str(disks.image(layout, zone)))
    # Ends at the first failure: without the mount, /mnt is the host's.
    script = f"[ -e {image} ] || exit {missing}; mount -o loop {image} /mnt; {line}"
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)


def _set(setting: Path, value: int) -> Command:
    return ("sh", "-c", f"echo {value} > {shlex.quote(str(setting))}")


def _restore(setting: Path, value: int) -> Command:
    path = shlex.quote(str(setting))
    return ("sh", "-c", f"[ ! -e {path} ] || echo {value} > {path}")
