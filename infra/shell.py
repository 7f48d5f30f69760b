"""Running programs: every call has a deadline, and a failure shows a line to paste and what was printed."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FIRST = (
    "sh",
    "-c",
    '{ echo -10 > /proc/self/autogroup; } 2> /dev/null; exec nice --adjustment=-10 "$@"',
    "first",
)
"""Before the arguments of what has to go before others where processors are short. Children inherit it.

Linux shares processors among sessions first, where it groups by them, and only then by nice.
"""
TAIL = 4_000
"""Characters of output that an error carries: enough for the reason, too few to flood a log."""


class CommandFailedError(EsqError):
    """A program ended with a non-zero code, could not be started, or overran its deadline."""

    def __init__(self, argv: Sequence[str], reason: str, output: str) -> None:
        super().__init__(
            f"`{shlex.join(argv)}` {reason}",
            where=argv[0],
            remedy="Run the line by hand.",
            detail=output[-TAIL:],
        )
        self.argv = tuple(argv)
        self.output = output


def run(  # noqa: PLR0913 - each is one keyword of subprocess, under its own name
    argv: Sequence[str],
    *,
    timeout: float = 60.0,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> str:
    """Run `argv` and return what it printed (standard output and error together).

    Args:
        argv: program and arguments; no shell is involved.
        timeout: deadline in seconds.
        stdin: text for standard input; closed when None.
        env: the whole environment; this process's when None.
        cwd: folder to run in.
        check: raise on a non-zero exit code.

    Raises:
        CommandFailedError: not found, overran `timeout`, or (with `check`) exit code other than 0.
    """
    try:
        done = subprocess.run(
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
        raise CommandFailedError(argv, "cannot be started: no such program", str(error)) from error
    except subprocess.TimeoutExpired as error:
        output = (
            error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        )
        raise CommandFailedError(argv, f"did not end within {timeout:g} s", output) from error
    if check and done.returncode != 0:
        raise CommandFailedError(argv, f"ended with {done.returncode}", done.stdout)
    return done.stdout
