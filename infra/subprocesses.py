"""Running programs: each call has a timeout, and errors carry the command line to paste and its output."""

from __future__ import annotations

import shlex
import subprocess
import sys
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
        process = subprocess.run(
            list(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else dict(env),
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailedError(argv, "cannot be started: program not found", str(error)) from error
    except subprocess.TimeoutExpired as error:
        output = (
            error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        )
        raise CommandFailedError(argv, f"timed out after {timeout:g} s", output) from error
    if check and process.returncode != 0:
        raise CommandFailedError(argv, f"exited with code {process.returncode}", process.stdout)
    return process.stdout
