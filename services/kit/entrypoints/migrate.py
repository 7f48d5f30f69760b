"""The migration job: for each service its role and schema, then its Alembic migrations.

The admin account makes role and schema; the role itself runs its migrations.

Safe to run twice and by several at once: an advisory lock lets one work while the others wait and find it
done.
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
from pydantic import SecretStr  # noqa: TC002 - pydantic reads the annotation when it runs
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import services
from services.kit import logs
from services.kit.database import passes_by_itself
from services.kit.retry import pause_before
from services.kit.settings import PREFIX, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import URL, Connection

LOCK = 0x657371
"""Number of the advisory lock: the name of the product in hexadecimal."""
DEADLINE_SECONDS = 180.0
CONNECT_SECONDS = 5.0
EXTENT = 600.0
"""Longest a migration may take, seconds."""
WRONG_SETTINGS = 2
log = logging.getLogger(__name__)


class MigrateSettings(ProcessSettings):
    """What the job is given; each service's password comes as `ESQ_PASSWORD_<SERVICE>`."""

    service: str = "migrate"
    admin_database_url: SecretStr
    """`postgresql+asyncpg://...` of an account that may create roles and schemas."""


def migrated_services() -> list[str]:
    """Return the services that have migrations, by name."""
    return sorted(
        folder.parent.name for folder in _root().glob("*/migrations") if any(folder.glob("[0-9]*.py"))
    )


def passwords() -> dict[str, str]:
    """Return each service's password.

    Raises:
        SettingsError: some are not set; all of those are named.
    """
    found = {name: os.environ.get(f"{PREFIX}PASSWORD_{name.upper()}", "") for name in migrated_services()}
    missing = [f"- {PREFIX}PASSWORD_{name.upper()}: not set" for name, value in found.items() if not value]
    if missing:
        raise SettingsError("passwords of services are missing:\n" + "\n".join(missing))
    return found


async def migrate(settings: MigrateSettings, secrets: dict[str, str]) -> None:
    """Bring every service's part of the database up to date.

    Raises:
        TimeoutError: the database was not there before the deadline.
    """
    url = make_url(settings.admin_database_url.get_secret_value())
    async with _locked(settings, url) as admin:
        for name, password in secrets.items():
            await _prepare(admin, name, password)
            await _upgrade(settings, url.set(username=name, password=password), name)
            log.info("Schema %s is up to date", name, extra={"action": "migrate", "schema": name})


@asynccontextmanager
async def _locked(settings: MigrateSettings, url: URL) -> AsyncIterator[asyncpg.Connection]:
    """Connect as admin, waiting for the server, and hold the lock for the block."""
    connection = await _connect(settings, url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=EXTENT)
        yield connection
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


async def _connect(settings: MigrateSettings, url: URL) -> asyncpg.Connection:
    """Connect to a server that takes writes, trying until the deadline."""
    attempt = 1
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                return await asyncpg.connect(
                    url.set(drivername="postgresql").render_as_string(hide_password=False),
                    timeout=CONNECT_SECONDS,
                    target_session_attrs="read-write",
                    ssl=_tls(settings),
                )
            except Exception as error:
                if not passes_by_itself(error):
                    raise
                attempt += 1
                log.info("Waiting for the database: %s", type(error).__name__, extra={"action": "wait"})
                await asyncio.sleep(pause_before(attempt))


async def _prepare(admin: asyncpg.Connection, name: str, password: str) -> None:
    """Create or correct the role and its schema. DDL takes no parameters: Postgres does the quoting."""
    role = await admin.fetchval("SELECT quote_ident($1)", name)
    secret = await admin.fetchval("SELECT quote_literal($1)", password)
    database = await admin.fetchval("SELECT quote_ident(current_database())")
    verb = "ALTER" if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name) else "CREATE"
    async with admin.transaction():
        await admin.execute(f"{verb} ROLE {role} LOGIN PASSWORD {secret}")
        await admin.execute(f"GRANT {role} TO CURRENT_USER")
        # The deploy takes these rights from the public; COPY goes by way of temporary tables.
        await admin.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}")
        await admin.execute(f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}")
        await admin.execute(f"ALTER ROLE {role} SET search_path = {role}")


async def _upgrade(settings: MigrateSettings, url: URL, name: str) -> None:
    """Run the service's migrations as the service itself."""
    arguments = {
        "ssl": _tls(settings),
        "timeout": CONNECT_SECONDS,
        "server_settings": {"search_path": name, "lock_timeout": "10s"},
    }
    engine = create_async_engine(url, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_alembic, name)
            await connection.commit()
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection, name: str) -> None:
    """Upgrade to the newest revision of the service's folder."""
    from alembic import command  # noqa: PLC0415 - large, and only this job needs it
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_root() / "kit" / "migrations"))
    config.set_main_option("version_locations", str(_root() / name / "migrations"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["schema"] = name
    command.upgrade(config, "head")


def _tls(settings: ProcessSettings) -> ssl.SSLContext | bool:
    """Verify the server where a CA is given."""
    return ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else False


def _root() -> Path:
    """Return the folder of the package `services`."""
    return Path(next(iter(services.__path__)))


def main() -> None:
    """Run the job; exit code 2 when the settings are wrong."""
    try:
        settings, secrets = load(MigrateSettings), passwords()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_SETTINGS) from None
    logs.configure(settings.service, settings.log_level)
    asyncio.run(migrate(settings, secrets))


if __name__ == "__main__":
    main()
