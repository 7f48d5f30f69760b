"""Programs of the image, and the result that a pod reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes stores the content of this file in the pod's status."""
MAX_TERMINATION_BYTES = 4096
INFO_TIMEOUT_SECONDS = 60.0
_MAX_ERROR_CHARACTERS = 1500


class CommandError(Exception):
    """A program failed; the message ends with its output."""


def run(*argv: str, timeout: float) -> str:
    """Run a program; its standard error goes to the pod's log.

    Args:
        argv: program and arguments.
        timeout: timeout in seconds.

    Returns:
        The standard output.

    Raises:
        CommandError: the program failed or timed out.
    """
    sys.stderr.write(f"$ {' '.join(argv)}\n")
    try:
        process = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{argv[0]} timed out after {timeout:g} s") from error
    sys.stderr.write(process.stderr)
    if process.returncode != 0:
        output = (process.stdout + process.stderr)[-_MAX_ERROR_CHARACTERS:]
        raise CommandError(f"{' '.join(argv[:3])} exited with code {process.returncode}: {output}")
    return process.stdout


def pgbackrest_info() -> list[dict[str, Any]]:
    """Return the output of `pgbackrest info` for all repositories.

    Raises:
        CommandError: pgBackRest failed.
    """
    output = run(
        "pgbackrest", "--output=json", "--log-level-console=error", "info", timeout=INFO_TIMEOUT_SECONDS
    )
    stanzas: list[dict[str, Any]] = json.loads(output)
    return stanzas


def write_result(result: dict[str, Any]) -> None:
    """Write the result as the last line of the log and into the pod's status."""
    text = json.dumps(result, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text[:MAX_TERMINATION_BYTES])
