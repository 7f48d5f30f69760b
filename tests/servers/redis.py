"""A Redis server on a free loopback port, in a folder of its own; Debian's package, as in the image."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.servers.process import Server, free_port

START_TIMEOUT_SECONDS = 15.0


class Redis:
    """A Redis server without persistence: its data is lost after `kill`."""

    def __init__(self, *options: str, password: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="esq-redis-"))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._options = (*options, *(("--requirepass", password) if password else ()))
        self._login = ("-a", password, "--no-auth-warning") if password else ()
        self._server = Server("redis", self.folder / "log")

    def start(self) -> None:
        """Start it and wait until it responds."""
        location = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        settings = ["--save", "", "--appendonly", "no", "--enable-debug-command", "local"]
        self._server.launch(["redis-server", *location, *settings, *self._options])
        self._server.wait_until_ready(self.ready, START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it and delete its folder."""
        self._server.send_signal(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill it; `start` starts an empty one."""
        self._server.kill()

    def ready(self) -> bool:
        """Return whether it responds."""
        return self.execute("ping") == "PONG"

    def execute(self, *command: str) -> str:
        """Run a command and return the response as text."""
        argv = ["redis-cli", "-p", str(self.port), *self._login, *command]
        return subprocess.run(argv, check=False, capture_output=True, text=True).stdout.strip()
