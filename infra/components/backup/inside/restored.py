"""A backup brought back into a folder of this pod, and a Postgres on it."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from infra.components.backup.inside import database as db
from infra.components.backup.inside import tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a small name

SCRATCH = Path("/scratch")
DATA = SCRATCH / "data"
RESTORE_SECONDS = 3600.0
STOP_SECONDS = 120.0
_PAUSE = 0.2
_SETTINGS = """\
unix_socket_directories = '{folder}'
hba_file = '{folder}/hba.conf'
listen_addresses = '{listen}'
shared_buffers = 32MB
max_connections = 20
max_wal_senders = 0
# Nobody reads before the log is replayed, and so smaller limits than the original's are no hindrance.
hot_standby = off
archive_mode = off
autovacuum = off
jit = off
# What is lost here is restored again.
fsync = off
logging_collector = off
{more}
"""


def fetch(arguments: Sequence[str]) -> None:
    """Bring the files back.

    Raises:
        ToolError: pgBackRest could not.
    """
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(mode=0o700)
    tools.run("pgbackrest", *arguments, "restore", timeout=RESTORE_SECONDS)


def settle(hba: str, *, listen: str = "", more: str = "") -> list[str]:
    """Write the server's settings; return how to start it."""
    (SCRATCH / "hba.conf").write_text(hba)
    (SCRATCH / "postgresql.conf").write_text(_SETTINGS.format(folder=SCRATCH, listen=listen, more=more))
    return ["postgres", "-D", str(DATA), f"--config-file={SCRATCH}/postgresql.conf"]


@contextmanager
def serving(name: str) -> Iterator[Connection]:
    """Start Postgres, wait until it has replayed the log, and give a connection to the database `name`.

    Raises:
        ToolError: it ended before, or is not there within `RESTORE_SECONDS`.
    """
    server = subprocess.Popen(settle("local all all trust\n"))
    try:
        database = _await(server, name)
        try:
            yield database
        finally:
            database.close()
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        server.wait(STOP_SECONDS)


def _await(server: subprocess.Popen[bytes], name: str) -> Connection:
    deadline = time.monotonic() + RESTORE_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise tools.ToolError(
                f"the restored Postgres ended with {server.returncode}; see the log of this pod"
            )
        with suppress(psycopg2.OperationalError):
            return db.connect(host=str(SCRATCH), dbname=name, user="postgres")
        time.sleep(_PAUSE)
    raise tools.ToolError(f"the restored Postgres is not there after {RESTORE_SECONDS:g} s")


def pages() -> str:
    """Check the checksum of every page of the stopped server; return what was found.

    Raises:
        ToolError: a page is not as it was written.
    """
    said = tools.run("pg_checksums", "--check", "-D", str(DATA), timeout=RESTORE_SECONDS)
    counted = [line.split(":")[1].strip() for line in said.splitlines() if line.startswith("Blocks scanned")]
    return counted[0] if counted else "0"
