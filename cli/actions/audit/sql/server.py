"""A temporary Postgres on a data folder, reached through a Unix socket only.

It is the Postgres of Debian in the version of the image, since plans belong to a version. It runs without
durability: the data can be generated again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.config_files import postgres
from infra.errors import EsqError, UsageError
from infra.subprocesses import run

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = Path(postgres.BINARIES)
START_TIMEOUT_SECONDS = 300.0
"""Includes the recovery after a kill."""
STOP_TIMEOUT_SECONDS = 300.0
"""Includes a checkpoint of what was generated."""
INIT_TIMEOUT_SECONDS = 300.0
DATABASE = "esq"
_UNPRIVILEGED_UID = 65534
"""Postgres refuses to run as root; in a user namespace this machine's root has this id, of `nobody`."""
_PARAMETERS = {
    **postgres.PLANNER_PARAMETERS,
    "shared_preload_libraries": "pg_stat_statements,auto_explain",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.track_planning": "on",
    "track_io_timing": "on",
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "20",
    "max_wal_size": "8GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Statistics are part of the data set: a background process would change plans between two runs.
    "autovacuum": "off",
}


@dataclass(frozen=True)
class AuditServer:
    """A running Postgres.

    Attributes:
        socket_folder: folder of its Unix socket.
    """

    socket_folder: Path

    def url(self, role: str) -> str:
        """Return the SQLAlchemy URL of the database for a role."""
        return f"postgresql+asyncpg://{role}@/{DATABASE}?host={self.socket_folder}"

    def psql(self, *arguments: str, timeout: float, database: str = DATABASE) -> str:
        """Run psql as superuser.

        Args:
            *arguments: its arguments.
            timeout: timeout in seconds.
            database: name of the database.

        Returns:
            Its output.

        Raises:
            CommandFailedError: a statement failed.
        """
        location = ("-h", str(self.socket_folder), "-U", "postgres", "-d", database)
        argv = [str(BINARIES / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *location, *arguments]
        return run(argv, timeout=timeout).strip()


def require_postgres() -> None:
    """Reject a machine without the server.

    Raises:
        UsageError: Postgres of this version is not installed.
    """
    if not (BINARIES / "postgres").exists():
        raise UsageError(
            f"Postgres {postgres.MAJOR_VERSION} is not installed",
            location=str(BINARIES),
            remedy=f"On Debian 12: apt-get install postgresql-{postgres.MAJOR_VERSION}",
        )


@contextmanager
def running_postgres(folder: Path) -> Iterator[AuditServer]:
    """Run Postgres on a data folder, which is initialised if it does not exist.

    Args:
        folder: the data folder.

    Raises:
        UsageError: Postgres is not installed.
        EsqError: the server does not start.
    """
    require_postgres()
    if not (folder / "PG_VERSION").exists():
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        run(
            [*_as_unprivileged(), str(BINARIES / "initdb"), "-D", str(folder), *options],
            timeout=INIT_TIMEOUT_SECONDS,
        )
    with tempfile.TemporaryDirectory(prefix="esq-audit-") as sockets:
        server, log = AuditServer(Path(sockets)), folder.with_name(f"{folder.name}.log")
        process = _start(folder, sockets, log)
        try:
            _wait_until_ready(process, server, log)
            yield server
        finally:
            _stop(process)


def _as_unprivileged() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    identity = (f"--map-user={_UNPRIVILEGED_UID}", f"--map-group={_UNPRIVILEGED_UID}")
    return ("unshare", "--user", *identity, "--")


def _start(folder: Path, sockets: str, log: Path) -> subprocess.Popen[bytes]:
    settings = [f"-c{name}={value}" for name, value in _PARAMETERS.items()]
    argv = [*_as_unprivileged(), str(BINARIES / "postgres"), "-D", str(folder), "-k", sockets, *settings]
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _wait_until_ready(process: subprocess.Popen[bytes], server: AuditServer, log: Path) -> None:
    ready = [str(BINARIES / "pg_isready"), "-q", "-h", str(server.socket_folder)]
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while subprocess.run(ready, check=False, timeout=30).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise EsqError(
                "Postgres does not start",
                location=str(log),
                remedy="Read the log; delete the folder beside it to generate the data again.",
                detail=log.read_text(errors="replace")[-1000:],
            )
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop with a checkpoint, so that the next start needs no recovery."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_TIMEOUT_SECONDS)
