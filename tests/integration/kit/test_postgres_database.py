"""Transactions, limits, failovers and migrations on a real Postgres."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import text

import services
from services.kit.errors import TemporaryError
from services.kit.jobs.migrate import MigrateSettings, migrate
from services.kit.observability.metrics import BREAKER_CLOSED, BREAKER_OPEN
from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.integration.conftest import apply_accounts, database_urls
from tests.metrics import metric
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
PROCESS = ProcessSettings(service="campaigns")
COUNT = text("SELECT count(*) FROM inbox")
INSERT = text("INSERT INTO inbox (company, event_id) VALUES ('acme', gen_random_uuid())")
SELECT_1 = text("SELECT 1")


def connect(url: str, *, pool_size: int = 2, statement_timeout: float = 5.0) -> Database:
    settings = DatabaseSettings(
        database_url=SecretStr(url),
        database_pool_size=pool_size,
        database_statement_timeout_seconds=statement_timeout,
        database_pool_timeout_seconds=1,
    )
    return Database(create_engine(PROCESS, settings))


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    database = connect(test_database.url("campaigns"), statement_timeout=1.0)
    yield database
    await database.close()


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may kill."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


async def count_rows(database: Database) -> int:
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(COUNT)
    assert row is not None
    return int(row[0])


async def insert_and_fail(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(INSERT)
        raise RuntimeError


async def insert_as_on_a_standby(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(text("SET default_transaction_read_only = on"))
        await transaction.commit()
        await transaction.execute(INSERT)


async def insert_row(database: Database, name: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(text("INSERT INTO public.things VALUES (:name)"), name=name)
        await transaction.commit()


async def test_uncommitted_work_is_rolled_back(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(INSERT)
    with pytest.raises(RuntimeError):
        await insert_and_fail(database)
    assert await count_rows(database) == 0
    async with database.transaction() as transaction:
        await transaction.execute(INSERT)
        await transaction.commit()
        await transaction.execute(INSERT)
    assert await count_rows(database) == 1


async def test_copy_runs_in_the_transaction(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(text("CREATE TEMPORARY TABLE things (name text) ON COMMIT DROP"))
        await transaction.copy_records("things", ["name"], ((str(number),) for number in range(1000)))
        row = await transaction.fetch_one(text("SELECT count(*) FROM things"))
        assert row is not None
        assert row[0] == 1000


async def test_service_has_access_to_its_own_schema_only(database: Database) -> None:
    with pytest.raises(Exception, match="permission denied for schema contacts"):
        async with database.transaction() as transaction:
            await transaction.fetch_all(text("SELECT * FROM contacts.contacts"))


async def test_server_cancels_slow_statement(database: Database) -> None:
    started_at = time.monotonic()
    with pytest.raises(TemporaryError):
        async with database.transaction() as transaction:
            await transaction.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - started_at < 5
    assert await count_rows(database) == 0


async def test_wait_for_pooled_connection_is_bounded(database: Database) -> None:
    async with database.transaction() as first, database.transaction() as second:
        await first.execute(INSERT)
        await second.execute(INSERT)
        assert metric("esq_bulkhead_in_flight_calls", operation="postgres") == 2
        rejected = metric("esq_calls_rejected_total", operation="postgres", reason="bulkhead") or 0
        with pytest.raises(TemporaryError):
            await count_rows(database)
    assert metric("esq_calls_rejected_total", operation="postgres", reason="bulkhead") == rejected + 1
    assert metric("esq_bulkhead_in_flight_calls", operation="postgres") == 0
    assert await count_rows(database) == 0


async def test_read_only_server_is_not_used(test_database: TestDatabase, database: Database) -> None:
    assert await database.readiness_problem() is None
    test_database.execute(f"ALTER DATABASE {test_database.name} SET default_transaction_read_only = on")
    standby = connect(test_database.url("campaigns"))
    assert await standby.readiness_problem() is not None
    with pytest.raises(TemporaryError):
        await count_rows(standby)
    await standby.close()


async def test_connection_to_server_that_became_read_only_is_discarded(database: Database) -> None:
    with pytest.raises(TemporaryError):
        await insert_as_on_a_standby(database)
    async with database.transaction() as transaction:
        await transaction.execute(INSERT)
        await transaction.commit()
    assert await count_rows(database) == 1


async def test_server_crash_is_temporary_and_restarted_server_is_used(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE campaigns LOGIN")
    database = connect(own_postgres.url("postgres", "campaigns"))
    async with database.transaction() as first, database.transaction() as second:
        await first.fetch_one(SELECT_1)
        await second.fetch_one(SELECT_1)
    await asyncio.to_thread(own_postgres.kill)
    assert await database.readiness_problem() is not None
    with pytest.raises(TemporaryError):
        async with database.transaction() as transaction:
            await transaction.fetch_one(SELECT_1)
    assert metric("esq_circuit_breaker_state", operation="postgres") == BREAKER_OPEN
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(10):  # after a failure there is a backoff
        while await database.readiness_problem() is not None:
            await asyncio.sleep(0.05)
    for _ in range(4):
        async with database.transaction() as transaction:
            await transaction.fetch_one(SELECT_1)
    assert metric("esq_circuit_breaker_state", operation="postgres") == BREAKER_CLOSED
    await database.close()


async def test_commit_without_standby_confirmation_raises_temporary_error(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE TABLE things (name text)")
    own_postgres.execute("CREATE ROLE campaigns LOGIN; GRANT ALL ON things TO campaigns")
    own_postgres.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (\"missing\")'")
    own_postgres.execute("SELECT pg_reload_conf()")
    database = connect(own_postgres.url("postgres", "campaigns"), statement_timeout=1.0)
    with pytest.raises(TemporaryError):
        await insert_row(database, "unconfirmed")
    own_postgres.execute("ALTER SYSTEM RESET synchronous_standby_names")
    own_postgres.execute("SELECT pg_reload_conf()")
    await insert_row(database, "confirmed")
    await database.close()


async def test_reads_continue_on_standby_while_primary_is_down(
    own_postgres: Postgres, test_database: TestDatabase
) -> None:
    own_postgres.execute("CREATE ROLE campaigns LOGIN")
    settings = DatabaseSettings(database_url=SecretStr(own_postgres.url("postgres", "campaigns")))
    test_database.execute(f"ALTER DATABASE {test_database.name} SET default_transaction_read_only = on")
    standby = create_engine(PROCESS, settings, test_database.url("campaigns"), attributes="any")
    database = Database(create_engine(PROCESS, settings), standby)
    current_database = text("SELECT current_database() AS name")

    async def read() -> str:
        async with database.read_only_transaction() as transaction:
            row = await transaction.fetch_one(current_database)
        assert row is not None
        return str(row.name)

    assert await read() == "postgres"
    await asyncio.to_thread(own_postgres.kill)
    with pytest.raises(TemporaryError):  # a transaction that has begun cannot move to the standby
        await read()
    assert await read() == test_database.name
    with pytest.raises(TemporaryError):
        async with database.transaction() as transaction:
            await transaction.fetch_one(current_database)
    assert await read() == test_database.name
    await asyncio.to_thread(own_postgres.start)
    deadline = time.monotonic() + 15
    while await read() != "postgres":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    await database.close()


def latest_migration(service: str) -> str:
    """Return the latest revision of the service."""
    files = (Path(services.__path__[0]) / service / "migrations").glob("[0-9]*.py")
    return f"{service}_{max(file.name[:4] for file in files)}"


async def test_migrations_may_run_repeatedly_and_concurrently(own_postgres: Postgres) -> None:
    apply_accounts(own_postgres, "esq")
    urls = database_urls(own_postgres, "esq")
    await asyncio.gather(*(migrate(MigrateSettings(), urls) for _ in range(3)))
    await migrate(MigrateSettings(), urls)
    owners = own_postgres.execute(
        "SELECT DISTINCT schemaname || '=' || tableowner FROM pg_tables WHERE schemaname !~ '^pg_|^info|^esq'",
        "esq",
    )
    assert sorted(owners.splitlines()) == [f"{name}={name}" for name in sorted(urls)]
    versions = own_postgres.execute("SELECT version_num FROM campaigns.alembic_version", "esq")
    assert versions == latest_migration("campaigns")
