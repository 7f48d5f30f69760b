"""Campaigns on the fake store and on Postgres: tests with the fixture `harness` run on both."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from services.campaigns.adapters.postgres import PostgresUnitOfWorkFactory
from services.campaigns.commands import ChangeCampaignState, CreateCampaign, PlanNextChunk
from services.campaigns.consumers.status_updates import apply_status_updates
from services.campaigns.domain.model import MessageState, Recipient
from services.campaigns.fakes import FakeContactsClient, FakeUnitOfWorkFactory
from services.campaigns.handlers import (
    change_campaign_state,
    create_campaign,
    get_campaign_progress,
    list_messages,
)
from services.campaigns.jobs import planning
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.jobs.scheduling import run_scheduled_transition
from services.contracts.v1 import events_pb2 as v1
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent, decode
from services.kit.postgres.database import Database, create_engine
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.servers.event_batches import flatten, statuses_updated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from uuid import UUID

    from services.campaigns.domain.lifecycle import Action, CampaignState
    from services.campaigns.ports import UnitOfWorkFactory
    from tests.integration.conftest import TestDatabase
    from tests.servers.event_batches import StatusUpdate

COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", idempotency_key="key-0001")
CHUNK = PlanNextChunk(chunk_size=2, lease_seconds=15)
FUTURE = datetime(2126, 3, 1, 12, tzinfo=UTC)
"""A time after every next check of a campaign that a test creates without a schedule."""
AFTER_REQUESTED_CHANGES = datetime(2100, 1, 1, tzinfo=UTC)
"""A time after the changes that users request during a test, and before every scheduled time."""


class CampaignsHarness:
    """Campaigns on a store, a list of contacts and the content of the outbox."""

    def __init__(self, uow_factory: UnitOfWorkFactory, database: TestDatabase | None) -> None:
        self.uow_factory = uow_factory
        self._database = database
        recipients = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", f"P{n}") for n in range(5)]
        self.contacts = FakeContactsClient({("acme", "friends"): recipients})

    def events(self) -> list[Any]:
        """Return the events of the outbox; batches as single requests."""
        if self._database is None:
            assert isinstance(self.uow_factory, FakeUnitOfWorkFactory)
            return flatten(outgoing.event for outgoing in self.uow_factory.tables.outbox.events)
        lines = self._database.execute(
            "SELECT encode(payload, 'hex') FROM campaigns.outbox ORDER BY id"
        ).splitlines()
        return flatten(decode(bytes.fromhex(line)).event for line in lines)

    def requests(self, run: int = 0) -> list[str]:
        """Return the ids of the messages requested under a run."""
        return [
            event.message_id
            for event in self.events()
            if isinstance(event, v1.MessageRequested) and event.run == run
        ]

    async def plan(self) -> None:
        """Plan until no campaign waits for planning."""
        for _ in range(30):
            if await plan_next_chunk(CHUNK, self.uow_factory, self.contacts) is None:
                return

    async def start_campaign(self) -> UUID:
        """Create a campaign and plan it."""
        campaign = await create_campaign(COMMAND, self.uow_factory)
        await self.plan()
        return campaign

    async def change_state(self, campaign: UUID, action: Action) -> CampaignState:
        """Apply an action; return the state after it."""
        command = ChangeCampaignState("acme", campaign, action)
        return (await change_campaign_state(command, self.uow_factory)).state

    async def run_scheduler(self, now: datetime = AFTER_REQUESTED_CHANGES) -> None:
        """Run all transitions that are due at `now`."""
        for _ in range(10):
            if await run_scheduled_transition(now, self.uow_factory) is None:
                return

    async def consume(self, *updates: StatusUpdate) -> None:
        """Apply status updates."""
        await apply_status_updates(
            [InboundEvent(uuid7(), "acme", statuses_updated(*updates))], self.uow_factory
        )

    async def return_unsent(self, campaign: UUID, messages: Iterable[str], run: int = 0) -> None:
        """Return messages as unsent under a run."""
        await self.consume(
            *(
                v1.MessageReturned(message_id=message, campaign_id=str(campaign), run=run)
                for message in messages
            )
        )

    async def accept(self, campaign: UUID, messages: Iterable[str]) -> None:
        """Report messages as accepted by the provider."""
        await self.consume(
            *(v1.MessageAccepted(message_id=message, campaign_id=str(campaign)) for message in messages)
        )

    async def deliver(self, campaign: UUID, messages: Iterable[str]) -> None:
        """Report messages as delivered."""
        await self.consume(
            *(
                v1.MessageStatusChanged(
                    message_id=message, campaign_id=str(campaign), status=v1.STATUS_DELIVERED
                )
                for message in messages
            )
        )

    async def state_and_counts(self, campaign: UUID) -> tuple[CampaignState, dict[MessageState, int]]:
        """Return state and counts, after checking the counts against the messages."""
        progress = await get_campaign_progress("acme", campaign, self.uow_factory)
        messages = await list_messages("acme", campaign, None, 100, self.uow_factory)
        assert progress.counts == Counter(message.state for message in messages)
        assert len({message.contact_id for message in messages}) == len(messages)
        return progress.state, dict(progress.counts)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> TestDatabase | None:
    return request.getfixturevalue("test_database") if request.param == "postgres" else None


@pytest.fixture
async def harness(
    store: TestDatabase | None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CampaignsHarness]:
    monkeypatch.setattr(planning, "PLAN_RETRY_SECONDS", 0.0)
    if store is None:
        yield CampaignsHarness(FakeUnitOfWorkFactory(), None)
        return
    settings = DatabaseSettings(database_url=SecretStr(store.url("campaigns")))
    database = Database(create_engine(ProcessSettings(service="campaigns"), settings))
    yield CampaignsHarness(PostgresUnitOfWorkFactory(database), store)
    await database.close()
