"""Migration job: runs the Alembic migrations of each service with the service's own account.

The deploy of the database server has created accounts and schemas. The job may run repeatedly and
concurrently: an advisory lock lets one run at a time, and the others find the schemas up to date.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import services
from services.kit.observability import json_logging
from services.kit.postgres.database import is_transient
from services.kit.retry import backoff_seconds
from services.kit.settings import PREFIX, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import URL, Connection

ADVISORY_LOCK_ID = 0x657371
"""The name of the product in hexadecimal."""
DEADLINE_SECONDS = 180.0
"""Longest wait for the database to become available."""
CONNECT_TIMEOUT_SECONDS = 5.0
MIGRATION_TIMEOUT_SECONDS = 600.0
"""Longest that a migration may take, and so the longest wait for the advisory lock of another run."""
EXIT_INVALID_SETTINGS = 2
_ACCOUNT_ERRORS = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError)
"""A new primary creates accounts that a deploy has added moments after its promotion."""
log = logging.getLogger(__name__)


class MigrateSettings(ProcessSettings):
    """Settings of the job; `ESQ_DATABASE_URL_<SERVICE>` is `postgresql+asyncpg://...` of each service."""

    service: str = "migrate"


def migrated_services() -> list[str]:
    """Return the names of the services that have migrations."""
    return sorted(
        folder.parent.name for folder in _root().glob("*/migrations") if any(folder.glob("[0-9]*.py"))
    )


def load_database_urls() -> dict[str, str]:
    """Return the database URL of each service.

    Raises:
        SettingsError: URLs are missing; all of them are listed.
    """
    urls = {name: os.environ.get(_variable(name), "") for name in migrated_services()}
    missing = [f"- {_variable(name)}: not set" for name, url in urls.items() if not url]
    if missing:
        raise SettingsError("database URLs of services are missing:\n" + "\n".join(missing))
    return urls


def _variable(service: str) -> str:
    return f"{PREFIX}DATABASE_URL_{service.upper()}"


async def migrate(settings: MigrateSettings, database_urls: Mapping[str, str]) -> None:
    """Upgrade the schema of every service.

    Args:
        settings: settings of the job.
        database_urls: URL by service.

    Raises:
        TimeoutError: the database was not available before the deadline.
    """
    for name, database_url in database_urls.items():
        url = make_url(database_url)
        async with _locked(settings, url):
            await _upgrade(settings, url, name)
        log.info("Schema %s is up to date", name, extra={"action": "migrate", "schema": name})


@asynccontextmanager
async def _locked(settings: MigrateSettings, url: URL) -> AsyncIterator[None]:
    """Connect, waiting for the server, and hold the advisory lock during the block."""
    pg_connection = await _connect(settings, url)
    try:
        await pg_connection.execute(
            "SELECT pg_advisory_lock($1)", ADVISORY_LOCK_ID, timeout=MIGRATION_TIMEOUT_SECONDS
        )
        yield
    finally:
        await pg_connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


async def _connect(settings: MigrateSettings, url: URL) -> asyncpg.Connection:
    """Connect to a server that accepts writes, retrying until the deadline."""
    attempt = 1
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                return await asyncpg.connect(
                    url.set(drivername="postgresql").render_as_string(hide_password=False),
                    timeout=CONNECT_TIMEOUT_SECONDS,
                    target_session_attrs="read-write",
                    ssl=_tls(settings),
                )
            except Exception as error:
                if not is_transient(error) and not isinstance(error, _ACCOUNT_ERRORS):
                    raise
                attempt += 1
                log.info(
                    "Waiting for the database: %s",
                    type(error).__name__,
                    extra={"action": "wait_for_database"},
                )
                await asyncio.sleep(backoff_seconds(attempt))


async def _upgrade(settings: MigrateSettings, url: URL, name: str) -> None:
    """Run the migrations of a service with its own role."""
    arguments = {
        "ssl": _tls(settings),
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "server_settings": {"search_path": name, "lock_timeout": "10s"},
    }
    engine = create_async_engine(url, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.connect() as pg_connection:
            await pg_connection.run_sync(_run_alembic, name)
            await pg_connection.commit()
    finally:
        await engine.dispose()


def _run_alembic(pg_connection: Connection, name: str) -> None:
    """Upgrade to the latest revision in the folder of the service."""
    from alembic import command  # noqa: PLC0415 - large, and only this job needs it
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_root() / "kit" / "postgres" / "migrations"))
    config.set_main_option("version_locations", str(_root() / name / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = pg_connection
    config.attributes["schema"] = name
    command.upgrade(config, "head")


def _tls(settings: ProcessSettings) -> ssl.SSLContext | bool:
    """Verify the server if a CA file is set."""
    return ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else False


def _root() -> Path:
    """Return the folder of the package `services`."""
    return Path(next(iter(services.__path__)))


def main() -> None:
    """Run the job.

    Raises:
        SystemExit: the settings are invalid; the exit code is 2.
    """
    try:
        settings, database_urls = load(MigrateSettings), load_database_urls()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_INVALID_SETTINGS) from None
    json_logging.configure(settings.service, settings.log_level)
    asyncio.run(migrate(settings, database_urls))


if __name__ == "__main__":
    main()
