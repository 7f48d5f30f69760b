"""A process of a service, run as in a pod, on a free loopback port without TLS."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import httpx

from infra.processes import Process
from services.contracts.endpoints import READINESS_PATH
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_TIMEOUT_SECONDS = 60.0


class ServiceProcess:
    """A service process; can be started again after `stop` or `kill`."""

    def __init__(self, service: str, process_type: str, folder: Path, settings: Mapping[str, str]) -> None:
        """Create the process object; `start` starts it.

        Args:
            service: domain, e.g. `whatsapp`.
            process_type: e.g. `api`.
            folder: folder of its log file.
            settings: `ESQ_...` variables.
        """
        process = Process(service, process_type)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start_seconds = 0.0
        self._argv = process.argv
        self._settings = dict(settings)
        self._server = Server(process.name, folder / f"{process.name}-{self.port}.log")

    def start(self, *, ready: bool = True) -> None:
        """Start it; wait until it is ready if `ready`."""
        service_settings = {"ESQ_HOST": "127.0.0.1", "ESQ_PORT": str(self.port), "ESQ_GRACE_SECONDS": "0"}
        started_at = time.monotonic()
        self._server.launch(
            [sys.executable, *self._argv], env={**os.environ, **service_settings, **self._settings}
        )
        if ready:
            self._server.wait_until_ready(self.ready, START_TIMEOUT_SECONDS)
        self.start_seconds = time.monotonic() - started_at

    def ready(self) -> bool:
        """Return whether the readiness probe returns 200."""
        try:
            return (
                httpx.get(self.url + READINESS_PATH, timeout=3, trust_env=False).status_code == httpx.codes.OK
            )
        except httpx.HTTPError:
            return False

    def stop(self) -> int | None:
        """Stop it; return its exit code."""
        return self._server.send_signal(signal.SIGTERM, 30)

    def wait(self) -> int:
        """Wait until it exits by itself; return its exit code."""
        return self._server.wait()

    def kill(self) -> None:
        """Kill it."""
        self._server.kill()

    def tail(self) -> str:
        """Return the end of its log."""
        return self._server.tail()
