"""The generated data set: built once for each schema and size, and kept as a data folder of Postgres.

Migrations create the schemas as a deploy does. The rows come from `data_set/*.sql` and are always the same,
with the skew of real companies: one campaign has an eighth of all messages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.actions.audit.sql.server import DATABASE, AuditServer, running_postgres
from infra.config_files.postgres import MAJOR_VERSION
from infra.errors import EsqError
from infra.subprocesses import PYTHON_MODULE, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.progress import ProgressReporter

SERVICES = ("campaigns", "contacts", "simulator", "whatsapp")
MIN_ROWS = 1_000
DEFAULT_ROWS = 10_000_000
BYTES_PER_ROW = 1_900
"""Disk space for each message, in all schemas, with indexes and what building them needs."""
FIXED_BYTES = 2_000_000_000
"""Disk space besides: the log of a load, and temporary files."""
BUILD_TIMEOUT_SECONDS = 4 * 3600.0
MIGRATE_TIMEOUT_SECONDS = 300.0
REFRESH_TIMEOUT_SECONDS = 600.0
_FOLDER = Path(__file__).with_name("data_set")
_PROJECT = Path(__file__).resolve().parents[4]
_COMPLETE = "complete"
"""Written last: a folder without it is of a build that was interrupted."""


def data_set_key(rows: int) -> str:
    """Return the name of the data folder: it changes with the schema, the generated rows and the version."""
    migrations = (_PROJECT / "services").glob("*/migrations/*.py")
    files = [*migrations, _PROJECT / "services/kit/postgres/schema.py", *_FOLDER.glob("[0-9]*.sql")]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{MAJOR_VERSION}-{rows}-{digest.hexdigest()[:12]}"


@contextmanager
def open_data_set(cache: Path, rows: int, progress: ProgressReporter) -> Iterator[AuditServer]:
    """Run Postgres on the data set, which is generated if it is not there.

    Args:
        cache: folder of all data sets.
        rows: number of messages.
        progress: reports the steps.

    Raises:
        EsqError: there is too little disk space, another audit uses the data, or the generation failed.
    """
    folder = cache / data_set_key(rows)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{folder.name}.lock"):
        if not (folder / _COMPLETE).exists():
            _require_space(folder, rows)
            _remove_outdated(cache, rows, folder)
            _generate(folder, rows, progress)
        with running_postgres(folder / "data") as server:
            with progress.step("data set") as step:
                server.psql("-f", str(_FOLDER / "refresh.sql"), timeout=REFRESH_TIMEOUT_SECONDS)
                step.set_result(f"{rows} messages in {folder}")
            yield server


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EsqError(
                "another audit uses this data set", location=str(path), remedy="Wait for its end."
            ) from error
        yield


def _require_space(folder: Path, rows: int) -> None:
    required, free = FIXED_BYTES + rows * BYTES_PER_ROW, shutil.disk_usage(folder).free
    if free < required:
        raise EsqError(
            f"the data set needs {required / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free",
            location=str(folder),
            remedy="Free space (`esq cache prune`), or generate fewer messages with --rows.",
        )


def _remove_outdated(cache: Path, rows: int, current: Path) -> None:
    """Remove data sets of this size for other schemas, and what an interrupted build has left."""
    for folder in cache.glob(f"{MAJOR_VERSION}-{rows}-*"):
        if folder.is_dir():
            shutil.rmtree(folder)
        elif folder != current.with_name(f"{current.name}.lock"):
            folder.unlink()
    current.mkdir()


def _generate(folder: Path, rows: int, progress: ProgressReporter) -> None:
    with progress.step("generate the data set") as step, running_postgres(folder / "data") as server:
        step.set_status("schemas")
        _create_schemas(server)
        for file in sorted(_FOLDER.glob("[0-9]*.sql")):
            step.set_status(file.stem)
            server.psql("-v", f"rows={rows}", "-f", str(file), timeout=BUILD_TIMEOUT_SECONDS)
        step.set_status("vacuum and statistics")
        _vacuum(server)
        step.set_result(f"{rows} messages")
    (folder / _COMPLETE).touch()


def _create_schemas(server: AuditServer) -> None:
    server.psql("-c", f"CREATE DATABASE {DATABASE}", database="postgres", timeout=MIGRATE_TIMEOUT_SECONDS)
    statements = ["CREATE EXTENSION pg_stat_statements"]
    for service in SERVICES:
        statements += [f"CREATE ROLE {service} LOGIN", f"CREATE SCHEMA {service} AUTHORIZATION {service}"]
    server.psql("-c", "; ".join(statements), timeout=MIGRATE_TIMEOUT_SECONDS)
    urls = {f"ESQ_DATABASE_URL_{service.upper()}": server.url(service) for service in SERVICES}
    run(
        [*PYTHON_MODULE, "services.kit.jobs.migrate"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **urls},
        timeout=MIGRATE_TIMEOUT_SECONDS,
    )


def _vacuum(server: AuditServer) -> None:
    """Vacuum and analyse all tables, except the outbox: there autovacuum is off on a deployed server too."""
    for service in SERVICES:
        tables = server.psql(
            "-c",
            f"SELECT '{service}.' || relname FROM pg_class WHERE relnamespace = '{service}'::regnamespace"  # noqa: S608 - own names
            " AND relkind = 'r' AND relname NOT LIKE 'outbox\\__'",
            timeout=MIGRATE_TIMEOUT_SECONDS,
        )
        for table in tables.split():
            server.psql("-c", f"VACUUM (ANALYZE) {table}", timeout=BUILD_TIMEOUT_SECONDS)
