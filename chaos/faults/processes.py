"""Process faults: kill and freeze.

A process is identified by its pid and start time. If the pid was reused in the meantime, the new process
receives no signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.faults.fault import Command, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.faults.host_processes import HostProcess

_SIGNAL_SCRIPT = """\
status=1
for process in "$@"; do
    pid=${process%:*}
    start=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)
    if [ "$start" = "${process#*:}" ]; then kill -"$0" "$pid" && status=0; fi
done
exit $status"""
"""Sends signal $0 to each `pid:start_ticks`; fails if none of them exists."""


def kill_processes(target: str, processes: Sequence[HostProcess]) -> Fault:
    """Kill processes (SIGKILL); their supervisor restarts them.

    The main process of a container terminates the container; a postmaster terminates its sessions; all
    processes of a pod terminate the containers of the pod.

    Args:
        target: description of the processes, for example `pod esq-data/postgres-0`.
        processes: processes to kill, from `host_processes.processes`.

    Returns:
        The fault; it has no undo.

    Raises:
        ValueError: there are no processes.
    """
    return Fault(kind="process-kill", target=target, inject=(_signal("KILL", processes),))


def freeze_processes(target: str, processes: Sequence[HostProcess]) -> Fault:
    """Stop processes (SIGSTOP): they keep their connections and locks, and do not respond.

    Processes started later are not stopped; freeze all processes of a container so that none can be started.

    Args:
        target: description of the processes, for example `pod esq-data/postgres-0`.
        processes: processes to stop, from `host_processes.processes`.

    Returns:
        The fault; its undo continues the processes.

    Raises:
        ValueError: there are no processes.
    """
    return Fault(
        kind="process-freeze",
        target=target,
        inject=(_signal("STOP", processes),),
        undo=(_signal("CONT", processes, allow_missing=True),),
    )


def _signal(name: str, processes: Sequence[HostProcess], *, allow_missing: bool = False) -> Command:
    if not processes:
        raise ValueError(f"no process to send SIG{name} to")
    script = _SIGNAL_SCRIPT.replace("exit $status", "exit 0") if allow_missing else _SIGNAL_SCRIPT
    return ("sh", "-c", script, name, *(str(process) for process in processes))
