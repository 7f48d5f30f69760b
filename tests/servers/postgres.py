"""A Postgres 15 server on a free loopback port, in a folder of its own, without durability."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.servers.process import Server, free_port

BINARIES = Path(os.environ.get("ESQ_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
# Commits reach the operating system: they survive `kill`, but not a crash of the host.
_FAST = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=100",
)


class Postgres:
    """A Postgres server; `copy` creates a database per test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="esq-postgres-"))
        self.port = free_port()
        self._user = unprivileged_uid()
        self._copies = 0
        self._server = Server("postgres", self.folder / "log")

    def start(self) -> None:
        """Initialise the data folder if it is missing, start, and wait until it responds."""
        if not self._data.exists():
            if self._user is not None:
                os.chown(self.folder, self._user, self._user)
            self._tool(
                "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"
            )
        options = [f"-c{option}" for option in _FAST]
        location = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)]
        self._server.launch([str(BINARIES / "postgres"), *location, *options], user=self._user)
        self._server.wait_until_ready(self.ready, START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it and delete its folder."""
        self._server.send_signal(signal.SIGINT, STOP_TIMEOUT_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill it, as a lost host would; `start` restarts it with its data."""
        self._server.send_signal(signal.SIGQUIT, STOP_TIMEOUT_SECONDS)

    def ready(self) -> bool:
        """Return whether it accepts connections."""
        command = [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Return the SQLAlchemy URL.

        Args:
            database: name.
            user: role.
            password: of the role; empty for none.
        """
        credentials = f"{user}:{password}" if password else user
        return f"postgresql+asyncpg://{credentials}@127.0.0.1:{self.port}/{database}"

    def copy(self, template: str = "template1") -> str:
        """Create a database from a template and return its name."""
        self._copies += 1
        name = f"copy_{self._copies}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Drop a database and close its connections."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as superuser; return the output of psql.

        Args:
            statement: SQL.
            database: name.
        """
        location = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        return self._tool("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *location, "-c", statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _tool(self, name: str, *arguments: str) -> str:
        """Run a Postgres program as the user that Postgres accepts."""
        done = subprocess.run(
            [str(BINARIES / name), *arguments],
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr.strip()}")
        return done.stdout.strip()


def unprivileged_uid() -> int | None:
    """Return the uid to run Postgres as root's child with, since it refuses root; None for non-root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])
