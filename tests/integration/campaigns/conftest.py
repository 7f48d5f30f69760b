"""Campaigns on the fake and on Postgres: what is true of one is true of the other."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from services.campaigns import planning
from services.campaigns.adapters.memory import FakeContactPages, FakeUnits
from services.campaigns.adapters.postgres import PostgresUnits
from services.campaigns.commands import ActOnCampaign, CreateCampaign, PlanNextChunk
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import (
    act_on_campaign,
    create_campaign,
    read_messages,
    read_progress,
)
from services.campaigns.lifecycle import Action, Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.campaigns.scheduling import look_after
from services.contracts.v1 import events_pb2 as v1
from services.kit.database import Database, create_engine
from services.kit.events import Incoming, decode
from services.kit.ids import uuid7
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.controllers.told import single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from uuid import UUID

    from services.campaigns.ports import Units
    from services.kit.events import Event
    from tests.integration.conftest import TestDatabase

COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", key="key-0001")
CHUNK = PlanNextChunk(chunk=2, lease_seconds=15)
LATER = datetime(2126, 3, 1, 12, tzinfo=UTC)
"""Long after whatever is asked of a campaign while a test runs."""
EVER = datetime(2100, 1, 1, tzinfo=UTC)


class World:
    """Campaigns on some store, a list of contacts, and what was put into the outbox."""

    def __init__(self, units: Units, database: TestDatabase | None) -> None:
        self.units = units
        self._database = database
        everyone = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", f"P{n}") for n in range(5)]
        self.contacts = FakeContactPages({("acme", "friends"): everyone})

    def events(self) -> list[Any]:
        if self._database is None:
            assert isinstance(self.units, FakeUnits)
            return single(each.event for each in self.units.tables.outbox.events)
        lines = self._database.execute(
            "SELECT encode(payload, 'hex') FROM campaigns.outbox ORDER BY id"
        ).splitlines()
        return single(decode(bytes.fromhex(line)).event for line in lines)

    def requests(self, run: int = 0) -> list[str]:
        """Return the messages asked for under a run."""
        return [
            each.message_id
            for each in self.events()
            if isinstance(each, v1.MessageRequested) and each.run == run
        ]

    async def plan(self) -> None:
        """Plan until nothing is left or everything waits."""
        for _ in range(30):
            if await plan_next_chunk(CHUNK, self.units, self.contacts) is None:
                return

    async def begun(self) -> UUID:
        """Create a campaign and plan it."""
        campaign = await create_campaign(COMMAND, self.units)
        await self.plan()
        return campaign

    async def act(self, campaign: UUID, action: Action) -> Stage:
        return (await act_on_campaign(ActOnCampaign("acme", campaign, action), self.units)).stage

    async def look_after(self, now: datetime = EVER) -> None:
        """Let become of campaigns what is due; by default only what was asked of them has come."""
        for _ in range(10):
            if await look_after(now, self.units) is None:
                return

    async def hear(self, *events: Event) -> None:
        await apply_news([Incoming(uuid7(), "acme", event) for event in events], self.units)

    async def recall(self, campaign: UUID, messages: Iterable[str], run: int = 0) -> None:
        await self.hear(
            *(v1.MessageRecalled(message_id=one, campaign_id=str(campaign), run=run) for one in messages)
        )

    async def accept(self, campaign: UUID, messages: Iterable[str]) -> None:
        await self.hear(*(v1.MessageAccepted(message_id=one, campaign_id=str(campaign)) for one in messages))

    async def deliver(self, campaign: UUID, messages: Iterable[str]) -> None:
        about = [{"message_id": one, "campaign_id": str(campaign)} for one in messages]
        await self.hear(*(v1.StatusChanged(**one, status=v1.STATUS_DELIVERED) for one in about))

    async def look(self, campaign: UUID) -> tuple[Stage, dict[State, int]]:
        """Return stage and counts; the counts are what counting gives."""
        progress = await read_progress("acme", campaign, self.units)
        rows = await read_messages("acme", campaign, None, 100, self.units)
        assert progress.counts == Counter(one.state for one in rows)
        assert len({one.contact_id for one in rows}) == len(rows)
        return progress.stage, dict(progress.counts)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> TestDatabase | None:
    return request.getfixturevalue("test_database") if request.param == "postgres" else None


@pytest.fixture
async def world(store: TestDatabase | None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(planning, "PUT_OFF_SECONDS", 0.0)
    if store is None:
        yield World(FakeUnits(), None)
        return
    settings = DatabaseSettings(database_url=SecretStr(store.url("campaigns")))
    database = Database(create_engine(ProcessSettings(service="campaigns"), settings))
    yield World(PostgresUnits(database), store)
    await database.close()
