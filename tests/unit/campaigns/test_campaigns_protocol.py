"""Runs and halts, whatever comes when: nobody is sent to twice, nobody is forgotten.

Campaigns are the real handlers on the fake store; whatsapp is the smallest thing that keeps its side of
decision 25. Events travel as in Kafka: those of a key in order, keys among each other in any, and a request
may come late, from a retry topic.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import pytest

from services.campaigns import planning
from services.campaigns.adapters.memory import FakeContactPages, FakeUnits
from services.campaigns.commands import ActOnCampaign, CreateCampaign, PlanNextChunk
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import act_on_campaign, create_campaign, read_messages, read_progress
from services.campaigns.lifecycle import Action, Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.campaigns.scheduling import look_after
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError
from services.kit.events import Incoming
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from services.kit.events import Event

PEOPLE = 12
STEPS = 80


class Whatsapp:
    """Queues, begins, recalls. `waiting` holds the run of each message that is not begun."""

    def __init__(self, campaign: str) -> None:
        self.campaign = campaign
        self.halted = -1
        self.waiting: dict[str, int] = {}
        self.recalled: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self.news: list[Event] = []

    def take(self, event: Event) -> None:
        if isinstance(event, v1.CampaignHalted):
            self.halted = max(self.halted, event.run)
        elif isinstance(event, v1.MessagesRequested):
            for request in event.requests:
                self._store(request.message_id, request.run)

    def _store(self, message: str, run: int) -> None:
        known = self.waiting.get(message, self.recalled.get(message, -1))
        if message not in self.sent and known < run:
            self.recalled.pop(message, None)
            self.waiting[message] = run
        if message in self.recalled:
            self._tell_recalled(message, self.recalled[message])
        self.sweep([message])

    def begin(self, message: str) -> None:
        if self.waiting[message] > self.halted:
            del self.waiting[message]
            self.sent[message] += 1
            self.news.append(v1.MessageAccepted(message_id=message, campaign_id=self.campaign))

    def sweep(self, messages: list[str]) -> None:
        for message in messages:
            run = self.waiting.get(message)
            if run is not None and run <= self.halted:
                self.recalled[message] = self.waiting.pop(message)
                self._tell_recalled(message, run)

    def _tell_recalled(self, message: str, run: int) -> None:
        self.news.append(v1.MessageRecalled(message_id=message, campaign_id=self.campaign, run=run))


class World:
    """Both services and what is under way between them; every step is a draw."""

    def __init__(self, units: FakeUnits, campaign: Whatsapp, contacts: FakeContactPages, rng: Random) -> None:
        self.units = units
        self.whatsapp = campaign
        self.contacts = contacts
        self.rng = rng
        self.read = 0
        self.late: list[Event] = []

    async def act(self, action: Action) -> None:
        [(company, campaign)] = self.units.tables.campaigns
        try:
            await act_on_campaign(ActOnCampaign(company, campaign, action), self.units)
        except ConflictError:
            return

    async def plan(self) -> None:
        await plan_next_chunk(PlanNextChunk(3, 15), self.units, self.contacts)

    async def carry_requests(self, chance_of_retry: float) -> None:
        """Bring whatsapp the next events of the outbox; some requests take the way through the retry topic."""
        events = self.units.tables.outbox.events
        upto = self.rng.randint(self.read, len(events))
        for each in events[self.read : upto]:
            late = isinstance(each.event, v1.MessagesRequested) and self.rng.random() < chance_of_retry
            self.late.append(each.event) if late else self.whatsapp.take(each.event)
        self.read = upto
        if self.late:
            self.whatsapp.take(self.late.pop(self.rng.randrange(len(self.late))))

    async def carry_news(self) -> None:
        """Bring campaigns some news; those of a message keep their order."""
        ids = {event.message_id for event in self.whatsapp.news}
        chosen = {one for one in ids if self.rng.random() < 0.5}
        heard = [event for event in self.whatsapp.news if event.message_id in chosen]
        self.whatsapp.news = [event for event in self.whatsapp.news if event.message_id not in chosen]
        await apply_news([Incoming(uuid7(), "acme", event) for event in heard], self.units)

    async def send(self) -> None:
        for message in [one for one in self.whatsapp.waiting if self.rng.random() < 0.2]:
            self.whatsapp.begin(message)

    async def sweep(self) -> None:
        self.whatsapp.sweep(list(self.whatsapp.waiting))

    async def step(self) -> None:
        action = self.rng.choice([Action.PAUSE, Action.RESUME])
        draws = [self.plan, self.carry_news, self.send, self.sweep]
        if self.rng.random() < 0.15:
            await self.act(action)
        await self.carry_requests(chance_of_retry=0.1)
        await self.rng.choice(draws)()

    async def settle(self) -> None:
        """Let everything that is under way arrive."""
        for _ in range(50):
            await self.plan()
            await self.carry_requests(chance_of_retry=0.0)
            await self.send()
            await self.sweep()
            await self.carry_news()


async def lived(seed: int) -> World:
    rng = Random(seed)
    units = FakeUnits()
    people = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", "") for n in range(PEOPLE)]
    contacts = FakeContactPages({("acme", "friends"): people})
    campaign = await create_campaign(
        CreateCampaign("acme", "Welcome", "friends", "Oi", "main", key="key-0001"), units
    )
    world = World(units, Whatsapp(str(campaign)), contacts, rng)
    for _ in range(STEPS):
        await world.step()
    return world


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_when_everybody_is_sent_to_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PUT_OFF_SECONDS", 0.0)

    async def live() -> None:
        world = await lived(seed)
        await world.act(Action.RESUME)
        await world.settle()
        [(_, campaign)] = world.units.tables.campaigns
        rows = await read_messages("acme", campaign, None, 100, world.units)
        assert world.whatsapp.sent == Counter(str(one.message_id) for one in rows)
        assert len(rows) == PEOPLE
        assert {one.state for one in rows} == {State.ACCEPTED}
        assert (await read_progress("acme", campaign, world.units)).stage is Stage.RUNNING

    asyncio.run(live())


@pytest.mark.parametrize("seed", range(6))
def test_once_cancelled_what_is_not_begun_never_is(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PUT_OFF_SECONDS", 0.0)

    async def live() -> None:
        world = await lived(seed)
        await world.act(Action.CANCEL)
        while await look_after(datetime.now(UTC), world.units):
            pass
        await world.settle()
        [(_, campaign)] = world.units.tables.campaigns
        rows = await read_messages("acme", campaign, None, 100, world.units)
        sent = {str(one.message_id) for one in rows if one.state is State.ACCEPTED}
        assert sent == set(world.whatsapp.sent)
        assert set(world.whatsapp.sent.values()) <= {1}
        assert {one.state for one in rows} <= {State.ACCEPTED, State.CANCELLED}
        found = await read_progress("acme", campaign, world.units)
        assert found.stage is Stage.CANCELLED
        assert found.counts == Counter(one.state for one in rows)

    asyncio.run(live())
