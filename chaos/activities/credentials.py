"""Actions on the credentials of the whole platform."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from typing import IO

from chaoslib.exceptions import ActivityFailed

from chaos.context import current
from chaos.faults import render
from infra.subprocesses import DIE_WITH_PARENT

__all__ = ["rotate_credentials"]

KEY_POLL_INTERVAL_SECONDS = 10.0
"""Less than a phase takes, so that traffic uses the new key before the old one is retired."""
INTERRUPT_TIMEOUT_SECONDS = 120.0


def rotate_credentials() -> str:
    """Replace the certificate authority and all keys and passwords, as an operator does.

    A rotation ends with the tool, also when this is killed: nobody would watch what it does. Its phase is
    saved, and `esq credentials rotate ENV` or a repeated experiment continues with it.

    Returns:
        The command.

    Raises:
        ActivityFailed: the rotation failed, or the run was aborted; a repeated rotation continues.
    """
    context = current()
    command = context.target.rotation_command
    with tempfile.TemporaryFile(mode="w+") as errors:
        context.require_permission()
        context.annotate("rotation of all credentials", is_injection=True, commands=render((command,)))
        process = subprocess.Popen(
            [*DIE_WITH_PARENT, *command], stdout=subprocess.DEVNULL, stderr=errors, text=True
        )
        try:
            _follow(process)
        finally:
            _interrupt(process)
        if process.returncode:
            raise ActivityFailed(f"the rotation failed: {_tail(errors)}")
    context.annotate("rotation of all credentials completed", is_injection=False)
    return render((command,))


def _follow(process: subprocess.Popen[str]) -> None:
    """Wait for the end, and give the traffic the key that is used, as a company's system would read it."""
    context = current()
    key = ""
    while process.poll() is None:
        used_key = context.target.read_token_key()
        if context.traffic is not None and used_key != key:
            context.traffic.use_token_key(used_key)
        key = used_key
        context.wait(KEY_POLL_INTERVAL_SECONDS, "rotating all credentials")


def _interrupt(process: subprocess.Popen[str]) -> None:
    """Interrupt a rotation that is still running; it can be continued."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(INTERRUPT_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read()[-1000:]
