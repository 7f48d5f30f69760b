"""Postgres as services meet it: migrations, units of work, failovers, limits."""

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
from services.kit.jobs.migrate import MigrateSettings, migrate, migrated_services
from services.kit.observability.resilience_metrics import BREAKER_CLOSED, BREAKER_OPEN
from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.controllers.postgres import Postgres
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
PROCESS = ProcessSettings(service="campaigns")
COUNT = text("SELECT count(*) FROM inbox")
ADD = text("INSERT INTO inbox (company, event_id) VALUES ('acme', gen_random_uuid())")


def connect(url: str, *, pool: int = 2, statement: float = 5.0) -> Database:
    settings = DatabaseSettings(
        database_url=SecretStr(url),
        database_pool_size=pool,
        database_statement_timeout_seconds=statement,
        database_pool_timeout_seconds=1,
    )
    return Database(create_engine(PROCESS, settings))


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    database = connect(test_database.url("campaigns"), statement=1.0)
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


async def count(database: Database) -> int:
    async with database.transaction() as work:
        row = await work.fetch_one(COUNT)
    assert row is not None
    return int(row[0])


async def add_and_fail(database: Database) -> None:
    async with database.transaction() as work:
        await work.execute(ADD)
        raise RuntimeError


async def add_as_on_a_standby(database: Database) -> None:
    async with database.transaction() as work:
        await work.execute(text("SET default_transaction_read_only = on"))
        await work.commit()
        await work.execute(ADD)


async def add_thing(database: Database, name: str) -> None:
    async with database.transaction() as work:
        await work.execute(text("INSERT INTO public.things VALUES (:name)"), name=name)
        await work.commit()


async def test_what_is_not_committed_never_happened(database: Database) -> None:
    async with database.transaction() as work:
        await work.execute(ADD)
    with pytest.raises(RuntimeError):
        await add_and_fail(database)
    assert await count(database) == 0
    async with database.transaction() as work:
        await work.execute(ADD)
        await work.commit()
        await work.execute(ADD)
    assert await count(database) == 1


async def test_copy_belongs_to_the_transaction(database: Database) -> None:
    async with database.transaction() as work:
        await work.execute(text("CREATE TEMPORARY TABLE things (name text) ON COMMIT DROP"))
        await work.copy_records("things", ["name"], ((str(number),) for number in range(1000)))
        row = await work.fetch_one(text("SELECT count(*) FROM things"))
        assert row is not None
        assert row[0] == 1000


async def test_a_service_sees_its_own_schema_only(database: Database) -> None:
    with pytest.raises(Exception, match="permission denied for schema contacts"):
        async with database.transaction() as work:
            await work.fetch_all(text("SELECT * FROM contacts.contacts"))


async def test_a_slow_statement_is_ended_by_the_server(database: Database) -> None:
    began = time.monotonic()
    with pytest.raises(TemporaryError):
        async with database.transaction() as work:
            await work.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - began < 5
    assert await count(database) == 0


async def test_waiting_for_a_connection_is_bounded(database: Database) -> None:
    async with database.transaction() as one, database.transaction() as other:
        await one.execute(ADD)
        await other.execute(ADD)
        assert metric("esq_bulkhead_under_way", operation="postgres") == 2
        refused = metric("esq_breaker_refused_total", operation="postgres", by="bulkhead") or 0
        with pytest.raises(TemporaryError):
            await count(database)
    assert metric("esq_breaker_refused_total", operation="postgres", by="bulkhead") == refused + 1
    assert metric("esq_bulkhead_under_way", operation="postgres") == 0
    assert await count(database) == 0


async def test_a_server_that_takes_no_writes_is_not_used(
    test_database: TestDatabase, database: Database
) -> None:
    assert await database.readiness_problem() is None
    test_database.execute(f"ALTER DATABASE {test_database.name} SET default_transaction_read_only = on")
    standby = connect(test_database.url("campaigns"))
    assert await standby.readiness_problem() is not None
    with pytest.raises(TemporaryError):
        await count(standby)
    await standby.close()


async def test_a_connection_whose_server_became_read_only_is_thrown_away(database: Database) -> None:
    with pytest.raises(TemporaryError):
        await add_as_on_a_standby(database)
    async with database.transaction() as work:
        await work.execute(ADD)
        await work.commit()
    assert await count(database) == 1


async def test_a_killed_server_is_temporary_and_its_successor_is_used(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE campaigns LOGIN")
    database = connect(own_postgres.url("postgres", "campaigns"))
    one = text("SELECT 1")
    async with database.transaction() as first, database.transaction() as second:
        await first.fetch_one(one)
        await second.fetch_one(one)
    await asyncio.to_thread(own_postgres.kill)
    assert await database.readiness_problem() is not None
    with pytest.raises(TemporaryError):
        async with database.transaction() as work:
            await work.fetch_one(one)
    assert metric("esq_breaker_state", operation="postgres") == BREAKER_OPEN
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(10):  # after a failure the server is left alone for a moment
        while await database.readiness_problem() is not None:
            await asyncio.sleep(0.05)
    for _ in range(4):
        async with database.transaction() as work:
            await work.fetch_one(one)
    assert metric("esq_breaker_state", operation="postgres") == BREAKER_CLOSED
    await database.close()


async def test_a_commit_that_no_standby_confirmed_is_not_taken_for_one(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE TABLE things (name text)")
    own_postgres.execute("CREATE ROLE campaigns LOGIN; GRANT ALL ON things TO campaigns")
    own_postgres.execute("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (\"nobody\")'")
    own_postgres.execute("SELECT pg_reload_conf()")
    database = connect(own_postgres.url("postgres", "campaigns"), statement=1.0)
    with pytest.raises(TemporaryError):
        await add_thing(database, "only here")
    own_postgres.execute("ALTER SYSTEM RESET synchronous_standby_names")
    own_postgres.execute("SELECT pg_reload_conf()")
    await add_thing(database, "confirmed")
    await database.close()


async def test_reads_go_on_from_a_standby_while_the_primary_is_away(
    own_postgres: Postgres, test_database: TestDatabase
) -> None:
    own_postgres.execute("CREATE ROLE campaigns LOGIN")
    settings = DatabaseSettings(database_url=SecretStr(own_postgres.url("postgres", "campaigns")))
    test_database.execute(f"ALTER DATABASE {test_database.name} SET default_transaction_read_only = on")
    standby = create_engine(PROCESS, settings, test_database.url("campaigns"), attributes="any")
    database = Database(create_engine(PROCESS, settings), standby)
    where = text("SELECT current_database() AS name")

    async def read() -> str:
        async with database.read_only_transaction() as work:
            row = await work.fetch_one(where)
        assert row is not None
        return str(row.name)

    assert await read() == "postgres"
    await asyncio.to_thread(own_postgres.kill)
    with pytest.raises(TemporaryError):  # in the middle of it: nobody can take over half a unit
        await read()
    assert await read() == test_database.name
    with pytest.raises(TemporaryError):
        async with database.transaction() as work:
            await work.fetch_one(where)
    assert await read() == test_database.name
    await asyncio.to_thread(own_postgres.start)
    deadline = time.monotonic() + 15
    while await read() != "postgres":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    await database.close()


def newest_migration(service: str) -> str:
    """Return the revision that a migrated schema of `service` has."""
    files = (Path(services.__path__[0]) / service / "migrations").glob("[0-9]*.py")
    return f"{service}_{max(file.name[:4] for file in files)}"


async def test_migrations_may_run_twice_and_at_once(own_postgres: Postgres) -> None:
    own_postgres.execute("REVOKE ALL ON DATABASE postgres FROM PUBLIC")
    settings = MigrateSettings(admin_database_url=SecretStr(own_postgres.url()))
    first = dict.fromkeys(migrated_services(), "it's-a-password")
    await asyncio.gather(migrate(settings, first), migrate(settings, first), migrate(settings, first))
    await migrate(settings, dict.fromkeys(first, "another"))
    owners = own_postgres.execute(
        "SELECT nspname || '=' || nspowner::regrole FROM pg_namespace WHERE nspname !~ '^pg_|^info|^public'"
    )
    assert sorted(owners.splitlines()) == [f"{name}={name}" for name in sorted(first)]
    versions = own_postgres.execute("SELECT version_num FROM campaigns.alembic_version")
    assert versions == newest_migration("campaigns")
    asked = "SELECT has_database_privilege('contacts', 'postgres', right_) FROM unnest({}) AS r (right_)"
    rights = "ARRAY['CONNECT', 'TEMPORARY']"
    assert own_postgres.execute(asked.format(rights)).splitlines() == ["t", "t"]
