"""Pressure on the CPU and memory of a container, by processes that run in it.

They share the limits of the container with its own processes. Containers of the platform have no limit of
CPU: busy loops then use all spare CPU time of the node, and its other pods keep the share of their requests.
The processes end at the undo, which finds them by the id of the fault in their command line; with the
container; and by themselves after `MAX_SECONDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.faults.fault import Fault
from chaos.faults.kubectl import exec_if_running, exec_in, new_fault_id

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.pod_location import PodLocation

MAX_SECONDS = 600
_MAX_WORKERS = 64
_DETACHED = "</dev/null >/dev/null 2>&1 &"
_BUSY = f"""\
for worker in $(seq "$1"); do
    setsid timeout -s KILL "$2" sh -c 'while :; do :; done' "esq-fault-$0" {_DETACHED}
done"""
"""Starts $1 busy loops of fault $0 for at most $2 seconds."""
_ALLOCATE = "import sys, time; block = b'x' * (int(sys.argv[2]) << 20); time.sleep(86_400)"
_BALLAST = f"""\
cd /sys/fs/cgroup || exit 1
if [ -e memory.max ]; then limit=$(cat memory.max) used=$(sed -n 's/^anon //p' memory.stat)
else cd memory && limit=$(cat memory.limit_in_bytes) used=$(sed -n 's/^total_rss //p' memory.stat); fi
case "$limit" in max|???????????????????) echo 'the container has no memory limit' >&2; exit 1 ;; esac
size=$(((limit - used - $1) >> 20))
[ "$size" -gt 0 ] || {{ echo "less than $1 bytes are free below the limit of $limit" >&2; exit 1; }}
setsid timeout -s KILL "$2" python3 -I -c "{_ALLOCATE}" "esq-fault-$0" "$size" {_DETACHED}"""
"""Holds all memory of the container but $1 bytes, for fault $0, for at most $2 seconds.

Version 1 of cgroups reports a missing limit as a number of 19 digits."""
_END = """\
for process in /proc/[0-9]*; do
    if grep -qs "esq-fault-$0" "$process/cmdline"; then
        kill -KILL "-${process#/proc/}" 2>/dev/null || kill -KILL "${process#/proc/}" 2>/dev/null
    fi
done
exit 0"""
"""Ends the processes of fault $0; the leader of each group with its group."""


def cpu_stress(kubeconfig: Path, pod: PodLocation, container: str, workers: int) -> Fault:
    """Run busy loops in a container.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of a running container.
        workers: number of busy loops.

    Returns:
        The fault; its undo ends them.

    Raises:
        ValueError: the number is out of range.
    """
    if not 0 < workers <= _MAX_WORKERS:
        raise ValueError(f"{workers} busy loops are not between 1 and {_MAX_WORKERS}")
    return _stress(
        "cpu-stress", f"{pod} ({workers} busy loops)", (kubeconfig, pod, container), _BUSY, workers
    )


def memory_stress(kubeconfig: Path, pod: PodLocation, container: str, headroom_bytes: int) -> Fault:
    """Use the memory of a container up to a headroom below its limit.

    The kernel reclaims caches, then kills a process of its choice, which may be the one that holds the
    memory. With version 2 of cgroups, it kills the whole container.

    Args:
        kubeconfig: kubeconfig of the cluster.
        pod: the pod.
        container: name of a running container with a memory limit.
        headroom_bytes: memory for caches and growth in bytes.

    Returns:
        The fault; its undo frees the memory.

    Raises:
        ValueError: the headroom is negative.
    """
    if headroom_bytes < 0:
        raise ValueError("the headroom is negative")
    target = f"{pod} ({headroom_bytes >> 20} MiB headroom)"
    return _stress("memory-stress", target, (kubeconfig, pod, container), _BALLAST, headroom_bytes)


def _stress(
    kind: str, target: str, address: tuple[Path, PodLocation, str], script: str, amount: int
) -> Fault:
    fault_id = new_fault_id()
    start = ("sh", "-c", script, fault_id, str(amount), str(MAX_SECONDS))
    return Fault(
        kind=kind,
        target=target,
        inject=(exec_in(*address, start),),
        undo=(exec_if_running(*address, ("sh", "-c", _END, fault_id)),),
    )
