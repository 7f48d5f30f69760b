"""Running programs: each call has a timeout, and errors carry the command line to paste and its output.

A program runs in a process group of its own, so that a timeout ends what it has started too. What shall run
on detaches itself (`setsid`).
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HIGH_PRIORITY_PREFIX = (
    "sh",
    "-c",
    '{ echo -10 > /proc/self/autogroup; } 2> /dev/null; exec nice --adjustment=-10 "$@"',
    "sh",
)
"""Prefix of command lines that need CPU priority when CPU time is scarce. Child processes inherit it.

With autogroups, Linux divides CPU time among sessions first and only then by nice value.
"""
PYTHON_MODULE = (sys.executable, "-P", "-m")
"""Prefix of command lines that run a Python module. `-P`: the working directory provides no modules."""
MAX_OUTPUT_CHARACTERS = 4_000
"""Characters of output in an error: enough for the reason, few enough for a log."""
INTERRUPT_TIMEOUT_SECONDS = 5.0
"""After Ctrl-C a program has this long to end, as it would on the terminal; then it is killed."""
DIE_WITH_PARENT = ("env", "--default-signal=INT", "setpriv", "--pdeathsig", "KILL", "--")
"""Prefix of command lines that are killed when the process that started them dies.

Linux binds the signal to the thread that starts the program: that thread must wait for its end. A shell
without job control starts programs in the background with SIGINT ignored, which children inherit.
"""


class CommandFailedError(EsqError):
    """A program exited with a non-zero code, could not be started, or timed out.

    Args:
        argv: program and arguments.
        reason: the failure, as the end of a sentence about the command line.
        output: output of the program.
    """

    def __init__(self, argv: Sequence[str], reason: str, output: str) -> None:
        super().__init__(
            f"`{shlex.join(argv)}` {reason}",
            location=argv[0],
            remedy="Run the command by hand.",
            detail=output[-MAX_OUTPUT_CHARACTERS:],
        )
        self.argv = tuple(argv)
        self.output = output


def run(  # noqa: PLR0913 - each is a keyword of subprocess.run
    argv: Sequence[str],
    *,
    timeout: float = 60.0,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> str:
    """Run a program.

    Args:
        argv: program and arguments; no shell is involved.
        timeout: timeout in seconds.
        stdin: text for standard input; closed if None.
        env: complete environment; that of this process if None.
        cwd: working directory.
        check: whether a non-zero exit code is an error.

    Returns:
        Standard output and standard error, interleaved.

    Raises:
        CommandFailedError: the program is not found, timed out, or (with `check`) exited non-zero.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            cwd=cwd,
            process_group=0,
        )
    except FileNotFoundError as error:
        raise CommandFailedError(argv, "cannot be started: program not found", str(error)) from error
    return wait_for_output(process, argv, timeout=timeout, stdin=stdin, check=check)


def wait_for_output(
    process: subprocess.Popen[str],
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: str | None = None,
    check: bool = True,
) -> str:
    """Wait until a program ends; end its process group if it does not, or if this process is interrupted.

    Args:
        process: leads a process group.
        argv: program and arguments, for messages.
        timeout: timeout in seconds.
        stdin: text for standard input.
        check: whether a non-zero exit code is an error.

    Returns:
        Its output.

    Raises:
        CommandFailedError: the program timed out, or (with `check`) exited non-zero.
    """
    with process:
        try:
            output, _ = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            _signal_group(process, signal.SIGKILL)
            raise CommandFailedError(argv, f"timed out after {timeout:g} s", _text(error.stdout)) from error
        except BaseException:
            _signal_group(process, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(INTERRUPT_TIMEOUT_SECONDS)
            _signal_group(process, signal.SIGKILL)
            raise
    if check and process.returncode != 0:
        raise CommandFailedError(argv, f"exited with code {process.returncode}", output)
    return output


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
