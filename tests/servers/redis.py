"""A Redis server on a free loopback port, in a folder of its own; Debian's package, as in the image."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from infra.config_files import redis as redis_config
from services.kit.settings import RedisSettings
from tests.servers.process import Server, free_port

START_TIMEOUT_SECONDS = 15.0
PASSWORD = "of-every-account"


def accounts(service: str) -> dict[str, tuple[str, ...]]:
    """Return the accounts of the platform and of a service, all with one password."""
    names = (redis_config.ADMIN, redis_config.PROBE, redis_config.REPLICATION, redis_config.SENTINEL)
    return dict.fromkeys((*names, service), (PASSWORD,))


class Redis:
    """A Redis server without persistence: its data is lost after `kill`."""

    def __init__(self, *options: str, service: str = "") -> None:
        """Create the object; `start` starts the server.

        Args:
            options: command line options of the server.
            service: service that uses it, with the account of the platform; empty for a server without login.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="esq-redis-"))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.service = service
        self._options = options
        self._login: tuple[str, ...] = ()
        if service:
            users = self.folder / "users.acl"
            users.write_text(redis_config.render_server_users(accounts(service)))
            self._options = (*options, "--aclfile", str(users))
            self._login = ("--user", redis_config.ADMIN, "-a", PASSWORD, "--no-auth-warning")
        self._server = Server("redis", self.folder / "log")

    def start(self) -> None:
        """Start it and wait until it responds."""
        location = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        settings = ["--save", "", "--appendonly", "no", "--enable-debug-command", "local"]
        self._server.launch(["redis-server", *location, *settings, *self._options])
        self._server.wait_until_ready(self.ready, START_TIMEOUT_SECONDS)

    def settings(self, **values: object) -> RedisSettings:
        """Return the settings of the service that uses it.

        Args:
            values: further settings.
        """
        return RedisSettings.model_validate(
            {
                "redis_server": self.address,
                "redis_username": self.service or None,
                "redis_password": PASSWORD if self.service else None,
                **values,
            }
        )

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
