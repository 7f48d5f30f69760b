"""Processes that die or stand still.

A process is named by its number and its start time, so that a number that was given to somebody else in the
meantime hits nobody: such a process is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.faults.hosts import HostProcess

_SIGNAL = """\
hit=1
for each in "$@"; do
    pid=${each%:*}
    start=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)
    if [ "$start" = "${each#*:}" ]; then kill -"$0" "$pid" && hit=0; fi
done
exit $hit"""
"""Signals `pid:start ...`; fails when none of them was there."""


def kill_processes(target: str, processes: Sequence[HostProcess]) -> Fault:
    """Let processes die at once (SIGKILL); whoever started them brings them back.

    A container's main process takes its container along; a postmaster takes its sessions along; all processes
    of a pod are the death of the pod's containers.

    Args:
        target: what they are, e.g. `pod esq-data/postgres-0`.
        processes: from `hosts.processes`.
    """
    return Fault(kind="process-kill", target=target, inject=(_signal("KILL", processes),))


def freeze_processes(target: str, processes: Sequence[HostProcess]) -> Fault:
    """Let processes stand still (SIGSTOP): they keep their connections and locks, and answer nothing.

    What they start later runs; freeze all processes of a container so that there is nobody to start any.

    Args:
        target: what they are, e.g. `pod esq-data/postgres-0`.
        processes: from `hosts.processes`.
    """
    return Fault(
        kind="process-freeze",
        target=target,
        inject=(_signal("STOP", processes),),
        undo=(_signal("CONT", processes, or_none=True),),
    )


def _signal(name: str, processes: Sequence[HostProcess], *, or_none: bool = False) -> Command:
    if not processes:
        raise ValueError(f"no process to send SIG{name} to")
    script = _SIGNAL.replace("exit $hit", "exit 0") if or_none else _SIGNAL
    return ("sh", "-c", script, name, *(str(each) for each in processes))
