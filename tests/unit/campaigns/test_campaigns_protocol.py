"""Runs and stopped runs under any order of events: each message is sent at most once and none is forgotten.

Campaigns are the real handlers on the fake store; whatsapp is the smallest model that fulfils its part of the
protocol (ADR 25). Events travel as in Kafka: in order per key, in any order across keys, and a request may
arrive late from a retry topic.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from services.campaigns.commands import ChangeCampaignState, CreateCampaign, PlanNextChunk
from services.campaigns.consumers.status_updates import apply_status_updates
from services.campaigns.domain.lifecycle import Action, CampaignState
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
from services.kit.errors import ConflictError
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from tests.servers.event_batches import statuses_updated

if TYPE_CHECKING:
    from services.kit.kafka.envelope import Event

RECIPIENTS = 12
STEPS = 80


class WhatsappModel:
    """Queues, sends and returns messages. `queued` holds the run of each unsent message."""

    def __init__(self, campaign: str) -> None:
        self.campaign = campaign
        self.stopped_run = -1
        self.queued: dict[str, int] = {}
        self.returned: dict[str, int] = {}
        self.sent: Counter[str] = Counter()
        self.updates: list[Any] = []

    def handle(self, event: Event) -> None:
        if isinstance(event, v1.CampaignRunStopped):
            self.stopped_run = max(self.stopped_run, event.run)
        elif isinstance(event, v1.MessagesRequested):
            for request in event.requests:
                self._store(request.message_id, request.run)

    def _store(self, message: str, run: int) -> None:
        known = self.queued.get(message, self.returned.get(message, -1))
        if message not in self.sent and known < run:
            self.returned.pop(message, None)
            self.queued[message] = run
        if message in self.returned:
            self._publish_returned(message, self.returned[message])
        self.return_stopped([message])

    def send(self, message: str) -> None:
        if self.queued[message] > self.stopped_run:
            del self.queued[message]
            self.sent[message] += 1
            self.updates.append(v1.MessageAccepted(message_id=message, campaign_id=self.campaign))

    def return_stopped(self, messages: list[str]) -> None:
        for message in messages:
            run = self.queued.get(message)
            if run is not None and run <= self.stopped_run:
                self.returned[message] = self.queued.pop(message)
                self._publish_returned(message, run)

    def _publish_returned(self, message: str, run: int) -> None:
        self.updates.append(v1.MessageReturned(message_id=message, campaign_id=self.campaign, run=run))


class Simulation:
    """Both services and the events between them; each step is random."""

    def __init__(
        self,
        uow_factory: FakeUnitOfWorkFactory,
        whatsapp: WhatsappModel,
        contacts: FakeContactsClient,
        rng: Random,
    ) -> None:
        self.uow_factory = uow_factory
        self.whatsapp = whatsapp
        self.contacts = contacts
        self.rng = rng
        self.published = 0
        self.retries: list[Event] = []

    async def change_state(self, action: Action) -> None:
        [(company, campaign)] = self.uow_factory.tables.campaigns
        try:
            await change_campaign_state(ChangeCampaignState(company, campaign, action), self.uow_factory)
        except ConflictError:
            return

    async def plan(self) -> None:
        await plan_next_chunk(PlanNextChunk(3, 15), self.uow_factory, self.contacts)

    async def deliver_requests(self, retry_probability: float) -> None:
        """Deliver the next events of the outbox to whatsapp; some requests go through the retry topic."""
        events = self.uow_factory.tables.outbox.events
        end = self.rng.randint(self.published, len(events))
        for outgoing in events[self.published : end]:
            event = outgoing.event
            if isinstance(event, v1.MessagesRequested) and self.rng.random() < retry_probability:
                self.retries.append(event)
            else:
                self.whatsapp.handle(event)
        self.published = end
        if self.retries:
            self.whatsapp.handle(self.retries.pop(self.rng.randrange(len(self.retries))))

    async def deliver_updates(self) -> None:
        """Deliver some status updates to campaigns; those of a message stay in order."""
        ids = {update.message_id for update in self.whatsapp.updates}
        selected = {message_id for message_id in ids if self.rng.random() < 0.5}
        delivered = [update for update in self.whatsapp.updates if update.message_id in selected]
        self.whatsapp.updates = [
            update for update in self.whatsapp.updates if update.message_id not in selected
        ]
        incoming = [InboundEvent(uuid7(), "acme", statuses_updated(update)) for update in delivered]
        await apply_status_updates(incoming, self.uow_factory)

    async def send(self) -> None:
        for message in [message for message in self.whatsapp.queued if self.rng.random() < 0.2]:
            self.whatsapp.send(message)

    async def return_stopped(self) -> None:
        self.whatsapp.return_stopped(list(self.whatsapp.queued))

    async def step(self) -> None:
        action = self.rng.choice([Action.PAUSE, Action.RESUME])
        steps = [self.plan, self.deliver_updates, self.send, self.return_stopped]
        if self.rng.random() < 0.15:
            await self.change_state(action)
        await self.deliver_requests(retry_probability=0.1)
        await self.rng.choice(steps)()

    async def drain(self) -> None:
        """Deliver all outstanding events."""
        for _ in range(50):
            await self.plan()
            await self.deliver_requests(retry_probability=0.0)
            await self.send()
            await self.return_stopped()
            await self.deliver_updates()


async def simulate(seed: int) -> Simulation:
    rng = Random(seed)
    uow_factory = FakeUnitOfWorkFactory()
    recipients = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", "") for n in range(RECIPIENTS)]
    contacts = FakeContactsClient({("acme", "friends"): recipients})
    campaign = await create_campaign(
        CreateCampaign("acme", "Welcome", "friends", "Oi", "main", idempotency_key="key-0001"), uow_factory
    )
    simulation = Simulation(uow_factory, WhatsappModel(str(campaign)), contacts, rng)
    for _ in range(STEPS):
        await simulation.step()
    return simulation


@pytest.mark.parametrize("seed", range(6))
def test_every_message_is_sent_once_in_any_event_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PLAN_RETRY_SECONDS", 0.0)

    async def run() -> None:
        simulation = await simulate(seed)
        await simulation.change_state(Action.RESUME)
        await simulation.drain()
        [(_, campaign)] = simulation.uow_factory.tables.campaigns
        messages = await list_messages("acme", campaign, None, 100, simulation.uow_factory)
        assert simulation.whatsapp.sent == Counter(str(message.message_id) for message in messages)
        assert len(messages) == RECIPIENTS
        assert {message.state for message in messages} == {MessageState.ACCEPTED}
        progress = await get_campaign_progress("acme", campaign, simulation.uow_factory)
        assert progress.state is CampaignState.RUNNING

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(6))
def test_cancelled_campaign_never_sends_unsent_messages(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PLAN_RETRY_SECONDS", 0.0)

    async def run() -> None:
        simulation = await simulate(seed)
        await simulation.change_state(Action.CANCEL)
        while await run_scheduled_transition(datetime.now(UTC), simulation.uow_factory):
            pass
        await simulation.drain()
        [(_, campaign)] = simulation.uow_factory.tables.campaigns
        messages = await list_messages("acme", campaign, None, 100, simulation.uow_factory)
        sent = {str(message.message_id) for message in messages if message.state is MessageState.ACCEPTED}
        assert sent == set(simulation.whatsapp.sent)
        assert set(simulation.whatsapp.sent.values()) <= {1}
        states = {message.state for message in messages}
        assert states <= {MessageState.ACCEPTED, MessageState.CANCELLED}
        progress = await get_campaign_progress("acme", campaign, simulation.uow_factory)
        assert progress.state is CampaignState.CANCELLED
        assert progress.counts == Counter(message.state for message in messages)

    asyncio.run(run())
