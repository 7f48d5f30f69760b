"""Resource faults: full disks, throttled CPU, memory pressure.

Limits of cgroups (v1) take effect immediately. The previous value is an argument, because an undo must not
depend on what it reads at that time. A cgroup that is gone needs no undo: the next container has a new one.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault
from chaos.faults.host_processes import UNLIMITED
from infra.zones import disks

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths

FILL_FILE = ".chaos-fill"
"""File in the root of a node's disk that fills it."""
_TAIL_MEBIBYTES = 4
"""Written with dd, not allocated, because the file system reserves part of its free space for itself."""
CPU_PERIOD_US = 100_000
"""Period of a CPU quota in microseconds: the default of the kernel and the kubelet."""
_MIN_QUOTA_US = 1_000
_LOWER_MEMORY_LIMIT = """\
cd "$0" || exit 1
used=$(cat memory.usage_in_bytes)
anonymous=$(sed -n 's/^total_rss //p' memory.stat)
target=$((anonymous + $1))
for tenth in 9 8 7 6 5 4 3 2 1 0; do
    echo $((target + (used - target) * tenth / 10)) 2>/dev/null > memory.limit_in_bytes || break
done
[ "$(cat memory.limit_in_bytes)" -lt "$2" ]"""
"""Lowers the limit of cgroup $0 to its anonymous memory plus $1 bytes, as far as the kernel can reclaim."""


def disk_full(paths: ClusterPaths, zone: str, leave_mebibytes: int = 0) -> Fault:
    """Fill the disk of a zone's node; the disk of the host is not filled.

    The disk is mounted a second time in its own mount namespace: this works whether the node runs or not, and
    the kernel uses one file system for both mounts.

    Args:
        paths: files of the cluster.
        zone: name of the zone.
        leave_mebibytes: free space that remains (MiB).

    Returns:
        The fault; its undo deletes the file that fills the disk.

    Raises:
        ValueError: the free space is negative.
    """
    if leave_mebibytes < 0:
        raise ValueError(f"invalid free space: {leave_mebibytes} MiB")
    fill = (
        f"room=$(($(df --output=avail --block-size=1M /mnt | tail -n 1) - {leave_mebibytes})); "
        f'[ "$room" -lt {_TAIL_MEBIBYTES} ] || '
        f"fallocate --length $((room - {_TAIL_MEBIBYTES}))MiB /mnt/{FILL_FILE}; "
        f'[ "$room" -le 0 ] || dd if=/dev/zero of=/mnt/{FILL_FILE} bs=64K count={_TAIL_MEBIBYTES * 16} '
        "oflag=append conv=notrunc,fsync || true"
    )
    return Fault(
        kind="disk-full",
        target=f"{zone} ({leave_mebibytes} MiB left)",
        inject=(on_disk(paths, zone, fill, missing_status=1),),
        undo=(on_disk(paths, zone, f"rm -f /mnt/{FILL_FILE}", missing_status=0),),
    )


def cpu_throttling(target: str, group: Path, cores: float, original_quota: int = UNLIMITED) -> Fault:
    """Limit the CPU time of a zone or container.

    Args:
        target: owner of the cgroup, for example `zone-b` or `pod esq-data/postgres-0`.
        group: `cpu` cgroup of the owner. The kernel rejects a quota below the quota of any child.
        cores: number of cores, for example 0.2.
        original_quota: quota to restore, from `host_processes.cpu_quota`.

    Returns:
        The fault; its undo restores the quota.

    Raises:
        ValueError: the cores are below the minimum quota of the kernel.
    """
    quota = round(cores * CPU_PERIOD_US)
    if quota < _MIN_QUOTA_US:
        raise ValueError(f"{cores} cores are below the minimum quota of the kernel")
    setting = group / "cpu.cfs_quota_us"
    return Fault(
        kind="cpu-throttling",
        target=f"{target} ({cores:g} cores)",
        inject=(_write_setting(setting, quota),),
        undo=(_restore_setting(setting, original_quota),),
    )


def memory_pressure(target: str, group: Path, headroom_bytes: int, original_limit: int = UNLIMITED) -> Fault:
    """Limit the memory of a container: the kernel reclaims caches, then kills a process that grows.

    Args:
        target: owner of the cgroup, for example `pod esq-data/postgres-0`.
        group: `memory` cgroup of the owner.
        headroom_bytes: memory for caches and growth in bytes, in addition to the current anonymous memory.
        original_limit: limit to restore, from `host_processes.memory_limit`.

    Returns:
        The fault; its undo restores the limit.

    Raises:
        ValueError: the headroom is negative.
    """
    if headroom_bytes < 0:
        raise ValueError("the memory limit cannot be below the anonymous memory")
    setting = group / "memory.limit_in_bytes"
    upper_bound = str(original_limit if original_limit != UNLIMITED else 1 << 62)
    return Fault(
        kind="memory-pressure",
        target=f"{target} ({headroom_bytes >> 20} MiB headroom)",
        inject=(("sh", "-c", _LOWER_MEMORY_LIMIT, str(group), str(headroom_bytes), upper_bound),),
        undo=(_restore_setting(setting, original_limit),),
    )


def on_disk(paths: ClusterPaths, zone: str, line: str, *, missing_status: int) -> Command:
    """Return a command with the node's disk at /mnt.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
        line: shell line to run.
        missing_status: exit code if there is no disk.
    """
    image = shlex.quote(str(disks.disk_file(paths, zone)))
    # Exits at the first failure: without the mount, /mnt belongs to the host.
    script = f"[ -e {image} ] || exit {missing_status}; mount -o loop {image} /mnt; {line}"
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)


def _write_setting(setting: Path, value: int) -> Command:
    return ("sh", "-c", f"echo {value} > {shlex.quote(str(setting))}")


def _restore_setting(setting: Path, value: int) -> Command:
    path = shlex.quote(str(setting))
    return ("sh", "-c", f"[ ! -e {path} ] || echo {value} > {path}")
