"""Commands that cannot act after the process that runs them is dead.

Three measures, because each alone leaves a gap:

- The command waits until `start` has returned: a process that dies before leaves a command that never runs.
- Linux kills the command when its parent dies (`DIE_WITH_PARENT`). Programs that it started are not killed.
- A mark in its environment, which these programs inherit, makes them visible to `end_all` of any process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.process_identity import PROC, read_stat
from infra.subprocesses import DIE_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Sequence

MARK_VARIABLE = "ESQ_COMMAND_MARK"
END_TIMEOUT_SECONDS = 10.0
POLL_INTERVAL_SECONDS = 0.02
_WAIT_FOR_START = ("sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh")
"""Standard input ends without a line when the parent died before it could write one."""


class CommandsRunningError(EsqError):
    """Programs of a command do not end, though they were killed."""


def start(argv: Sequence[str], mark: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own; the calling thread must wait for its end.

    Args:
        argv: program and arguments; no shell is involved.
        mark: identifies the command and the programs that it starts.

    Returns:
        The process, whose standard output includes standard error.
    """
    process = subprocess.Popen(
        [*DIE_WITH_PARENT, *_WAIT_FOR_START, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, MARK_VARIABLE: mark},
        process_group=0,
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin:  # killed before it read: its exit code says so
            process.stdin.write("\n")
        process.stdin = None
    return process


def end_all(mark: str, timeout: float = END_TIMEOUT_SECONDS) -> None:
    """Kill all running programs with a mark, and wait until they are gone.

    Args:
        mark: see `start`.
        timeout: timeout in seconds.

    Raises:
        CommandsRunningError: a program does not end in time.
    """
    deadline = time.monotonic() + timeout
    while pids := [pid for pid in _pids() if _kill_marked(pid, mark)]:
        if time.monotonic() > deadline:
            names = [f"{stat.name} ({pid})" for pid in pids if (stat := read_stat(pid))]
            raise CommandsRunningError(
                f"commands do not end after SIGKILL: {', '.join(names)}",
                location=str(PROC),
                remedy="See in /proc/PID/stack and the kernel log what they wait for.",
            )
        time.sleep(POLL_INTERVAL_SECONDS)


def _pids() -> list[int]:
    return [
        int(path.name) for path in PROC.iterdir() if path.name.isdecimal() and int(path.name) != os.getpid()
    ]


def _kill_marked(pid: int, mark: str) -> bool:
    """Kill a process if it has the mark; return whether it does. A zombie has no environment."""
    with suppress(OSError):
        process = os.pidfd_open(pid)  # taken before the look at the mark, since the id may be reused after it
        try:
            variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if f"{MARK_VARIABLE}={mark}".encode() in variables:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                return True
        finally:
            os.close(process)
    return False
