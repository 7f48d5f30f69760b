"""Campaigns in Postgres: planners, consumers and callers at the same time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.campaigns.adapters.memory import FakeContactPages
from services.campaigns.adapters.postgres import PostgresUnits
from services.campaigns.again import request_again
from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import create_campaign, read_messages, read_progress
from services.campaigns.lifecycle import Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.contracts.v1 import events_pb2 as v1
from services.kit.database import Database, create_engine
from services.kit.events import Incoming, decode
from services.kit.ids import uuid7
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.controllers.told import single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", key="key-1")
CHUNK = PlanNextChunk(chunk=50, lease_seconds=15)
SHORT = PlanNextChunk(chunk=50, lease_seconds=0.3)


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("campaigns")), database_pool=10)
    database = Database(create_engine(ProcessSettings(service="campaigns"), settings))
    yield database
    await database.close()


@pytest.fixture
def units(database: Database) -> PostgresUnits:
    return PostgresUnits(database)


def people(count: int) -> FakeContactPages:
    everyone = [Recipient(uuid7(), uuid7(), f"+55119{80_000_000 + n}", f"P{n}") for n in range(count)]
    return FreshIds({("acme", "friends"): everyone})


class FreshIds(FakeContactPages):
    """Gives new message ids with each page, as the real adapter does."""

    async def page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        total, page = await super().page(company, list_name, after, limit)
        await asyncio.sleep(0.005)
        return total, [Recipient(uuid7(), one.contact_id, one.phone, one.name) for one in page]


async def requested(database: Database) -> list[Any]:
    async with database.work() as work:
        rows = await work.rows(text("SELECT payload FROM outbox ORDER BY id"))
    return single(decode(row.payload).event for row in rows)


async def plan_all(units: PostgresUnits, contacts: FakeContactPages, command: PlanNextChunk = CHUNK) -> None:
    idle = 0
    while idle < 3:
        done = await plan_next_chunk(command, units, contacts)
        idle = idle + 1 if done is None else 0
        await asyncio.sleep(0.02 if done is None else 0)


async def test_planners_at_once_make_one_message_per_contact(
    units: PostgresUnits, database: Database
) -> None:
    campaign = await create_campaign(COMMAND, units)
    contacts = people(1010)
    await asyncio.gather(*(plan_all(units, contacts) for _ in range(3)))
    progress = await read_progress("acme", campaign, units)
    assert (progress.planned, progress.total, progress.counts) == (1010, 1010, {State.QUEUED: 1010})
    requests = await requested(database)
    assert len({one.contact_id for one in requests}) == len({one.message_id for one in requests}) == 1010
    assert len(requests) == 1010


async def test_a_planner_that_dies_is_replaced_and_one_that_wakes_late_writes_nothing(
    units: PostgresUnits, database: Database
) -> None:
    campaign = await create_campaign(COMMAND, units)
    contacts = people(120)

    class Stalled(FreshIds):
        async def page(
            self, company: str, list_name: str, after: UUID | None, limit: int
        ) -> tuple[int, list[Recipient]]:
            page = await super().page(company, list_name, after, limit)
            await asyncio.sleep(1.5)
            return page

    dead = asyncio.create_task(plan_next_chunk(SHORT, units, Stalled(contacts.lists)))
    await asyncio.sleep(0.1)
    dead.cancel()
    late = asyncio.create_task(asyncio.sleep(0.4))
    await late
    stalled = asyncio.create_task(plan_next_chunk(SHORT, units, Stalled(contacts.lists)))
    await asyncio.sleep(0.6)
    await plan_all(units, contacts)
    assert await stalled == 0
    assert len(await requested(database)) == 120
    assert (await read_progress("acme", campaign, units)).stage is Stage.RUNNING


async def test_the_same_request_at_once_makes_one_campaign(units: PostgresUnits) -> None:
    ids = await asyncio.gather(*(create_campaign(COMMAND, units) for _ in range(8)))
    assert len(set(ids)) == 1


async def test_consumers_at_once_agree_on_the_counts(units: PostgresUnits, database: Database) -> None:
    campaign = await create_campaign(COMMAND, units)
    await plan_all(units, people(200))
    ids = [one.message_id for one in await requested(database)]
    reports = []
    for message in ids:
        about = {"message_id": message, "campaign_id": str(campaign)}
        reports += [
            v1.MessageReport(accepted=v1.MessageAccepted(**about)),
            v1.MessageReport(status_changed=v1.StatusChanged(**about, status=v1.STATUS_SENT)),
            v1.MessageReport(status_changed=v1.StatusChanged(**about, status=v1.STATUS_DELIVERED)),
        ]
    random.Random(9).shuffle(reports)
    events = [v1.MessagesReported(reports=reports[at : at + 10]) for at in range(0, len(reports), 10)]
    incoming = [Incoming(uuid7(), "acme", event) for event in events]

    async def consume(seed: int) -> None:
        shuffled = list(incoming)
        random.Random(seed).shuffle(shuffled)
        for at in range(0, len(shuffled), 6):
            await apply_news(shuffled[at : at + 6], units)

    await asyncio.gather(*(consume(seed) for seed in range(3)))
    progress = await read_progress("acme", campaign, units)
    assert progress.counts == {State.DELIVERED: 200}
    assert progress.stage is Stage.FINISHED
    page = await read_messages("acme", campaign, None, 150, units)
    rest = await read_messages("acme", campaign, page[-1].message_id, 150, units)
    assert [str(one.message_id) for one in page + rest] == sorted(ids)


async def test_a_campaign_that_is_given_up_says_why(units: PostgresUnits) -> None:
    campaign = await create_campaign(COMMAND, units)
    await plan_all(units, FakeContactPages({}))
    progress = await read_progress("acme", campaign, units)
    assert (progress.stage, progress.failure) == (Stage.FAILED, "there is no such list")


async def test_what_may_have_been_lost_is_requested_again(
    test_database: TestDatabase, units: PostgresUnits
) -> None:
    campaign, contacts = await create_campaign(COMMAND, units), people(120)
    while await plan_next_chunk(CHUNK, units, contacts) is not None:
        pass
    messages = await read_messages("acme", campaign, None, 500, units)
    known = [
        Incoming(
            uuid7(),
            "acme",
            v1.StatusChanged(message_id=str(one.message_id), campaign_id=str(campaign), status=3),
        )
        for one in messages[:20]
    ]
    await apply_news(known, units)
    test_database.execute("DELETE FROM campaigns.outbox")
    assert await request_again(50, units, contacts) == 100
    again = test_database.execute("SELECT encode(payload, 'hex') FROM campaigns.outbox").splitlines()
    asked = single(decode(bytes.fromhex(line)).event for line in again)
    assert {one.message_id for one in asked} == {str(one.message_id) for one in messages[20:]}
