"""A server process of a test: start, wait, stop, kill; errors contain its log."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TIMEOUT_MULTIPLIER = float(os.environ.get("ESQ_TEST_TIMEOUT_MULTIPLIER", "1"))
"""Multiplies every timeout, for slow machines."""
POLL_INTERVAL_SECONDS = 0.05
LOG_TAIL_CHARACTERS = 2000
PORTS = range(14000, 30000)
_CLAIMS: list[socket.socket] = []
"""Kept open until this process ends."""


@atexit.register
def _release_ports() -> None:
    for claim in _CLAIMS:
        claim.close()


def free_port() -> int:
    """Return a loopback port that is free and that no other test process gets.

    The ports are below those that the kernel gives to connections. A Unix socket in the abstract namespace marks
    each port as taken; the kernel closes it when this process ends.
    """
    for port in random.sample(PORTS, len(PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        with suppress(OSError), socket.socket() as sock:
            claim.bind(f"\0esq-test-port-{port}")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            _CLAIMS.append(claim)
            return port
        claim.close()
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop}")


def wait_until(description: str, condition: Callable[[], bool], seconds: float) -> None:
    """Wait until the condition holds.

    Args:
        description: of the condition, for the error.
        condition: polled.
        seconds: timeout.

    Raises:
        TimeoutError: the condition does not hold in time.
    """
    deadline = time.monotonic() + seconds * TIMEOUT_MULTIPLIER
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"timed out waiting for {description} after {seconds * TIMEOUT_MULTIPLIER:.0f} s"
            )
        time.sleep(POLL_INTERVAL_SECONDS)


class Server:
    """One process and its log file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """PID of the running process."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def launch(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, user: int | None = None
    ) -> None:
        """Start it in a session of its own.

        Args:
            command: program and arguments.
            env: environment; that of this process when None.
            user: uid and gid; those of this process when None.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=None if env is None else dict(env),
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )

    def wait_until_ready(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is ready; fail early with the end of its log if the process exits.

        Args:
            is_ready: polled.
            seconds: timeout.
        """

        def alive_and_ready() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self.name} exited while starting:\n{self.tail()}")
            return is_ready()

        try:
            wait_until(f"{self.name} to be ready", alive_and_ready, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def send_signal(self, number: signal.Signals, seconds: float = 15.0) -> int | None:
        """Send a signal and wait for the exit; SIGKILL after the timeout. Return the exit code.

        Args:
            number: signal.
            seconds: timeout.
        """
        if self._process is None or self._process.poll() is not None:
            return None if self._process is None else self._process.returncode
        self._process.send_signal(number)
        try:
            return self._process.wait(seconds * TIMEOUT_MULTIPLIER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def wait(self, seconds: float = 15.0) -> int:
        """Wait until it exits by itself; return the exit code."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.wait(seconds * TIMEOUT_MULTIPLIER)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill it and every process that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it with SIGSTOP while the block runs: it accepts connections and answers none."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)
