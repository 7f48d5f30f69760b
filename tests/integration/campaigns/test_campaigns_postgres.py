"""Campaigns in Postgres: concurrent planners, consumers and callers."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.campaigns.adapters.postgres import PostgresUnitOfWorkFactory
from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.consumers.status_updates import apply_status_updates
from services.campaigns.domain.lifecycle import CampaignState
from services.campaigns.domain.model import MessageState, Recipient
from services.campaigns.fakes import FakeContactsClient
from services.campaigns.handlers import create_campaign, get_campaign_progress, list_messages
from services.campaigns.jobs.background import Planner
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.jobs.republish import republish_requests
from services.contracts.v1 import events_pb2 as v1
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent, decode
from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.metrics import metric
from tests.servers.event_batches import flatten, statuses_updated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tests.integration.conftest import TestDatabase
    from tests.servers.event_batches import StatusUpdate

pytestmark = pytest.mark.integration
COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", idempotency_key="key-1")
CHUNK = PlanNextChunk(chunk_size=50, lease_seconds=15)
SHORT_LEASE = PlanNextChunk(chunk_size=50, lease_seconds=0.3)


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    settings = DatabaseSettings(database_url=SecretStr(test_database.url("campaigns")), database_pool_size=10)
    database = Database(create_engine(ProcessSettings(service="campaigns"), settings))
    yield database
    await database.close()


@pytest.fixture
def uow_factory(database: Database) -> PostgresUnitOfWorkFactory:
    return PostgresUnitOfWorkFactory(database)


class NewIdsClient(FakeContactsClient):
    """Returns new message ids with each page, as the HTTP client does."""

    async def fetch_page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        total, page = await super().fetch_page(company, list_name, after, limit)
        await asyncio.sleep(0.005)
        return total, [
            Recipient(uuid7(), contact.contact_id, contact.phone, contact.name) for contact in page
        ]


def contacts_client(count: int) -> NewIdsClient:
    recipients = [Recipient(uuid7(), uuid7(), f"+55119{80_000_000 + n}", f"P{n}") for n in range(count)]
    return NewIdsClient({("acme", "friends"): recipients})


async def stored_requests(database: Database) -> list[Any]:
    async with database.transaction() as transaction:
        rows = await transaction.fetch_all(text("SELECT payload FROM outbox ORDER BY id"))
    return flatten(decode(row.payload).event for row in rows)


async def plan_all(uow_factory: PostgresUnitOfWorkFactory, contacts: FakeContactsClient) -> None:
    idle = 0
    while idle < 3:
        planned = await plan_next_chunk(CHUNK, uow_factory, contacts)
        idle = idle + 1 if planned is None else 0
        await asyncio.sleep(0.02 if planned is None else 0)


async def test_concurrent_planners_create_one_message_per_contact(
    uow_factory: PostgresUnitOfWorkFactory, database: Database
) -> None:
    campaign = await create_campaign(COMMAND, uow_factory)
    contacts = contacts_client(1010)
    await asyncio.gather(*(plan_all(uow_factory, contacts) for _ in range(3)))
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    counts = {MessageState.QUEUED: 1010}
    assert (progress.planned, progress.total, progress.counts) == (1010, 1010, counts)
    requests = await stored_requests(database)
    contact_ids = {request.contact_id for request in requests}
    message_ids = {request.message_id for request in requests}
    assert len(contact_ids) == len(message_ids) == len(requests) == 1010


async def test_crashed_planner_is_replaced_and_stalled_planner_writes_nothing(
    uow_factory: PostgresUnitOfWorkFactory, database: Database
) -> None:
    campaign = await create_campaign(COMMAND, uow_factory)
    contacts = contacts_client(120)

    class StalledClient(NewIdsClient):
        async def fetch_page(
            self, company: str, list_name: str, after: UUID | None, limit: int
        ) -> tuple[int, list[Recipient]]:
            page = await super().fetch_page(company, list_name, after, limit)
            await asyncio.sleep(1.5)
            return page

    crashed = asyncio.create_task(plan_next_chunk(SHORT_LEASE, uow_factory, StalledClient(contacts.lists)))
    await asyncio.sleep(0.1)
    crashed.cancel()
    await asyncio.sleep(0.4)
    stalled = asyncio.create_task(plan_next_chunk(SHORT_LEASE, uow_factory, StalledClient(contacts.lists)))
    await asyncio.sleep(0.6)
    await plan_all(uow_factory, contacts)
    assert await stalled == 0
    assert len(await stored_requests(database)) == 120
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert progress.state is CampaignState.RUNNING


async def test_concurrent_equal_requests_create_one_campaign(uow_factory: PostgresUnitOfWorkFactory) -> None:
    ids = await asyncio.gather(*(create_campaign(COMMAND, uow_factory) for _ in range(8)))
    assert len(set(ids)) == 1


async def test_concurrent_consumers_keep_counts_consistent(
    uow_factory: PostgresUnitOfWorkFactory, database: Database
) -> None:
    campaign = await create_campaign(COMMAND, uow_factory)
    await plan_all(uow_factory, contacts_client(200))
    ids = [request.message_id for request in await stored_requests(database)]
    updates: list[StatusUpdate] = []
    for message in ids:
        keys = {"message_id": message, "campaign_id": str(campaign)}
        updates += [
            v1.MessageAccepted(**keys),
            v1.MessageStatusChanged(**keys, status=v1.STATUS_SENT),
            v1.MessageStatusChanged(**keys, status=v1.STATUS_DELIVERED),
        ]
    random.Random(9).shuffle(updates)
    events = [statuses_updated(*updates[index : index + 10]) for index in range(0, 600, 10)]
    incoming = [InboundEvent(uuid7(), "acme", event) for event in events]

    async def consume(seed: int) -> None:
        shuffled = list(incoming)
        random.Random(seed).shuffle(shuffled)
        for index in range(0, len(shuffled), 6):
            await apply_status_updates(shuffled[index : index + 6], uow_factory)

    await asyncio.gather(*(consume(seed) for seed in range(3)))
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert progress.counts == {MessageState.DELIVERED: 200}
    assert progress.state is CampaignState.FINISHED
    page = await list_messages("acme", campaign, None, 150, uow_factory)
    rest = await list_messages("acme", campaign, page[-1].message_id, 150, uow_factory)
    assert [str(message.message_id) for message in page + rest] == sorted(ids)


async def test_failed_campaign_has_a_reason(uow_factory: PostgresUnitOfWorkFactory) -> None:
    campaign = await create_campaign(COMMAND, uow_factory)
    await plan_all(uow_factory, FakeContactsClient({}))
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert (progress.state, progress.failure) == (CampaignState.FAILED, "there is no such list")


async def test_unconfirmed_messages_are_republished(
    test_database: TestDatabase, uow_factory: PostgresUnitOfWorkFactory
) -> None:
    campaign, contacts = await create_campaign(COMMAND, uow_factory), contacts_client(120)
    while await plan_next_chunk(CHUNK, uow_factory, contacts) is not None:
        pass
    messages = await list_messages("acme", campaign, None, 500, uow_factory)
    confirmed = [
        v1.MessageStatusChanged(message_id=str(message.message_id), campaign_id=str(campaign), status=3)
        for message in messages[:20]
    ]
    await apply_status_updates([InboundEvent(uuid7(), "acme", statuses_updated(*confirmed))], uow_factory)
    test_database.execute("DELETE FROM campaigns.outbox")
    assert await republish_requests(50, uow_factory, contacts) == 100
    lines = test_database.execute("SELECT encode(payload, 'hex') FROM campaigns.outbox").splitlines()
    requests = flatten(decode(bytes.fromhex(line)).event for line in lines)
    unconfirmed = {str(message.message_id) for message in messages[20:]}
    assert {request.message_id for request in requests} == unconfirmed


async def test_planning_without_progress_is_measured(
    test_database: TestDatabase, uow_factory: PostgresUnitOfWorkFactory
) -> None:
    recipients = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", "P") for n in range(120)]
    contacts = FakeContactsClient({("acme", "friends"): recipients})
    planner = Planner(CHUNK, uow_factory, contacts, lambda: None)
    await create_campaign(COMMAND, uow_factory)
    test_database.execute("UPDATE campaigns.campaign_plans SET progressed_at = now() - interval '1 minute'")
    await planner.measure()
    assert metric("esq_planning_campaigns") == 1
    assert (metric("esq_planning_age_seconds") or 0) >= 60

    await plan_next_chunk(CHUNK, uow_factory, contacts)
    await planner.measure()
    assert metric("esq_planning_campaigns") == 1
    assert (metric("esq_planning_age_seconds") or 0) < 60

    while await plan_next_chunk(CHUNK, uow_factory, contacts) is not None:
        continue
    await planner.measure()
    assert metric("esq_planning_campaigns") == metric("esq_planning_age_seconds") == 0
