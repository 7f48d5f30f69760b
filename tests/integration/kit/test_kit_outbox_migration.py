"""The step from deleted rows to segments: what is under way is moved, and the release before runs on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from alembic import command
from pydantic import SecretStr
from sqlalchemy import text

from services.contracts.v1.events_pb2 import MessageAccepted
from services.kit.database import Database, create_engine
from services.kit.entrypoints import migrate as job
from services.kit.events import decode
from services.kit.fakes import FakePublisher
from services.kit.outbox import Relay, lane_of
from services.kit.settings import DatabaseSettings
from tests.controllers.consuming import PROCESS, event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.kit.events import Outgoing
    from tests.controllers.postgres import Postgres

PASSWORD = "of-a-test"
pytestmark = pytest.mark.integration
ADD = text(
    "INSERT INTO outbox (lane, company, event_id, topic, key, payload)"
    " VALUES (:lane, :company, :event_id, :topic, :key, :payload)"
)


@pytest.fixture
def released(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database as the release before leaves it: every service at its second revision."""
    postgres.execute("CREATE DATABASE released")
    with monkeypatch.context() as before:
        upgrade = command.upgrade
        before.setattr(command, "upgrade", lambda config, _: upgrade(config, second(config)))
        asyncio.run(upgraded(postgres))
    yield "released"
    postgres.drop("released")


def second(config: object) -> str:
    service = config.attributes["schema"]  # type: ignore[attr-defined] # Alembic's own
    return f"{service}_0002"


async def upgraded(postgres: Postgres) -> None:
    settings = job.MigrateSettings(admin_database_url=SecretStr(postgres.url("released")))
    await job.migrate(settings, dict.fromkeys(job.migrated_services(), PASSWORD))


async def add_as_before(database: Database, events: Sequence[Outgoing]) -> None:
    async with database.work() as work:
        for one in events:
            await work.run(
                ADD,
                lane=lane_of(one.key),
                company=one.company,
                event_id=one.event_id,
                topic=one.topic.name,
                key=one.key,
                payload=one.encode(),
            )
        await work.commit()


async def published(database: Database) -> list[int]:
    """Return the numbers of the events that a relay of today publishes."""
    publisher = FakePublisher()
    relay = Relay(database, publisher)
    while await relay.step():
        continue
    return [numbered(record.payload) for record in publisher.records]


async def published_as_before(database: Database) -> list[int]:
    """Do what a relay of the release before does with all there is."""
    async with database.work() as work:
        rows = await work.rows(text("SELECT id, lane, topic, key, payload FROM outbox ORDER BY id"))
        gone = await work.run(
            text("DELETE FROM outbox WHERE lane = ANY(:lanes) AND id = ANY(:ids)"),
            lanes=[row.lane for row in rows],
            ids=[row.id for row in rows],
        )
        await work.commit()
    assert gone == len(rows)
    return [numbered(row.payload) for row in rows]


def numbered(payload: bytes | None) -> int:
    found = decode(payload).event
    assert isinstance(found, MessageAccepted)
    return int(found.provider_id)


async def test_events_under_way_are_moved_and_the_release_before_runs_on(
    postgres: Postgres, released: str
) -> None:
    settings = DatabaseSettings(database_url=SecretStr(postgres.url(released, "campaigns", PASSWORD)))
    database = Database(create_engine(PROCESS, settings))
    await add_as_before(database, [event("a", number) for number in range(20)])
    await upgraded(postgres)
    await add_as_before(database, [event("a", 20)])
    assert await published(database) == list(range(21))
    await add_as_before(database, [event("a", 21)])
    assert (await published_as_before(database))[-1] == 21
    assert await published(database) == []
    await database.close()
