"""A Postgres on a backup that is restored into a scratch folder of this pod."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from infra.components.backup.pod_programs import commands
from infra.components.backup.pod_programs import database as db

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

SCRATCH = Path("/scratch")
DATA = SCRATCH / "data"
RESTORE_TIMEOUT_SECONDS = 3600.0
STOP_TIMEOUT_SECONDS = 120.0
_POLL_INTERVAL_SECONDS = 0.2
_SETTINGS = """\
unix_socket_directories = '{folder}'
hba_file = '{folder}/hba.conf'
listen_addresses = '{listen}'
shared_buffers = 32MB
max_connections = 20
max_wal_senders = 0
# No reads before WAL replay is complete, so limits may be smaller than those of the original.
hot_standby = off
archive_mode = off
autovacuum = off
jit = off
# Lost data can be restored again.
fsync = off
logging_collector = off
{extra_settings}
"""


def restore_files(arguments: Sequence[str]) -> None:
    """Restore the files of a backup.

    Raises:
        CommandError: pgBackRest failed.
    """
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(mode=0o700)
    commands.run("pgbackrest", *arguments, "restore", timeout=RESTORE_TIMEOUT_SECONDS)


def write_config(hba: str, *, listen: str = "", extra_settings: str = "") -> list[str]:
    """Write the server's configuration.

    Args:
        hba: content of `pg_hba.conf`.
        listen: value of `listen_addresses`; empty by default.
        extra_settings: further lines of `postgresql.conf`.

    Returns:
        The command line of the server.
    """
    settings = _SETTINGS.format(folder=SCRATCH, listen=listen, extra_settings=extra_settings)
    (SCRATCH / "hba.conf").write_text(hba)
    (SCRATCH / "postgresql.conf").write_text(settings)
    return ["postgres", "-D", str(DATA), f"--config-file={SCRATCH}/postgresql.conf"]


@contextmanager
def running(database_name: str) -> Iterator[Connection]:
    """Run Postgres, wait for the end of WAL replay, and yield a connection.

    Raises:
        CommandError: Postgres exited, or is not ready within `RESTORE_TIMEOUT_SECONDS`.
    """
    server = subprocess.Popen(write_config("local all all trust\n"))
    try:
        pg_connection = _wait_for_postgres(server, database_name)
        try:
            yield pg_connection
        finally:
            pg_connection.close()
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        server.wait(STOP_TIMEOUT_SECONDS)


def _wait_for_postgres(server: subprocess.Popen[bytes], database_name: str) -> Connection:
    deadline = time.monotonic() + RESTORE_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise commands.CommandError(
                f"the restored Postgres exited with code {server.returncode}; see the log of this pod"
            )
        with suppress(psycopg2.OperationalError):
            return db.connect(host=str(SCRATCH), dbname=database_name, user="postgres")
        time.sleep(_POLL_INTERVAL_SECONDS)
    raise commands.CommandError(f"the restored Postgres is not ready after {RESTORE_TIMEOUT_SECONDS:g} s")


def verify_page_checksums() -> str:
    """Verify the checksum of every page of the stopped server and return the number of pages.

    Raises:
        CommandError: a page is corrupt.
    """
    output = commands.run("pg_checksums", "--check", "-D", str(DATA), timeout=RESTORE_TIMEOUT_SECONDS)
    counts = [line.split(":")[1].strip() for line in output.splitlines() if line.startswith("Blocks scanned")]
    return counts[0] if counts else "0"
