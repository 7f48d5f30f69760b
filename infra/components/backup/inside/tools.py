"""The programs of the image, and how a pod tells what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TERMINATION = Path("/dev/termination-log")
"""What is written here, Kubernetes keeps with the pod's status."""
TERMINATION_BYTES = 4096
INFO_SECONDS = 60.0
_TAIL = 1500


class ToolError(Exception):
    """A program failed; the text ends with what it said."""


def run(*argv: str, timeout: float) -> str:
    """Run a program and return its output; what it says besides goes to the pod's log.

    Raises:
        ToolError: it failed, or did not end within `timeout` seconds.
    """
    sys.stderr.write(f"$ {' '.join(argv)}\n")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{argv[0]} did not end within {timeout:g} s") from error
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        raise ToolError(
            f"{' '.join(argv[:3])} ended with {done.returncode}: {(done.stdout + done.stderr)[-_TAIL:]}"
        )
    return done.stdout


def info() -> list[dict[str, Any]]:
    """Return what pgBackRest tells of all repositories.

    Raises:
        ToolError: it cannot tell.
    """
    found: list[dict[str, Any]] = json.loads(
        run("pgbackrest", "--output=json", "--log-level-console=error", "info", timeout=INFO_SECONDS)
    )
    return found


def tell(result: dict[str, Any]) -> None:
    """Tell a result: as the last line of the log, and to whoever looks at the pod."""
    text = json.dumps(result, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if TERMINATION.exists():
        TERMINATION.write_text(text[:TERMINATION_BYTES])
