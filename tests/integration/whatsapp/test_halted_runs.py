"""Halted runs and deadlines on real Postgres: queued messages are returned, leased ones stay."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from services.contracts.v1.events_pb2 import (
    CampaignRunStopped,
    MessageExpired,
    MessageRequested,
    MessageReturned,
    MessagesRequested,
)
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from services.whatsapp.adapters.messages import SQL
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.fakes import FakeReadyQueue
from services.whatsapp.jobs.sweeper import SWEEP_BATCH_SIZE, Sweeper

if TYPE_CHECKING:
    from services.kit.postgres.database import Database
    from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
    from tests.integration.whatsapp.conftest import PlatformUnderTest, PollingLeases

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connection")]
CAMPAIGN = "c"


def requested(message: str, run: int = 0, **times: datetime) -> InboundEvent:
    request = MessageRequested(
        message_id=message,
        campaign_id=CAMPAIGN,
        contact_id="1",
        connection="main",
        to="+5511999999999",
        text="Hello",
        run=run,
    )
    for name, time in times.items():
        getattr(request, name).FromDatetime(time)
    return InboundEvent(uuid7(), "acme", MessagesRequested(requests=[request]))


def stopped(run: int = 0, campaign: str = CAMPAIGN, company: str = "acme") -> InboundEvent:
    event = CampaignRunStopped(campaign_id=campaign, connection="main", run=run)
    return InboundEvent(uuid7(), company, event)


def new_ids(count: int) -> list[str]:
    return [str(uuid7()) for _ in range(count)]


@pytest.fixture
def handler(unit_of_work: PostgresUnitOfWorkFactory) -> SendRequestHandler:
    return SendRequestHandler(unit_of_work, FakeReadyQueue())


@pytest.fixture
def sweeper(unit_of_work: PostgresUnitOfWorkFactory) -> Sweeper:
    return Sweeper(unit_of_work, interval_seconds=1)


async def test_halt_returns_queued_messages_and_no_leased_ones(
    platform: PlatformUnderTest, handler: SendRequestHandler, sweeper: Sweeper, leases: PollingLeases
) -> None:
    ids = new_ids(6)
    await handler.handle([requested(message) for message in ids])
    leased = await leases.lease_ready(2)
    await handler.handle([stopped()])
    assert await leases.lease_ready(10) == [], "no message of a halted run is leased"
    assert await sweeper.return_unsent() == 4
    assert platform.state_counts() == {"leased": 2, "returned": 4}
    leased_ids = {str(message.message_id) for message in leased}
    assert {event.message_id for event in platform.events()} == set(ids) - leased_ids
    assert {(type(event), event.run) for event in platform.events()} == {(MessageReturned, 0)}


async def test_halt_does_not_affect_other_campaigns_companies_and_later_runs(
    handler: SendRequestHandler, sweeper: Sweeper, leases: PollingLeases
) -> None:
    [message] = new_ids(1)
    await handler.handle([stopped(0), stopped(7, campaign="another"), stopped(7, company="other")])
    await handler.handle([requested(message, run=1)])
    await sweeper.return_unsent()
    assert [str(leased.message_id) for leased in await leases.lease_ready(5)] == [message]


async def test_request_of_a_halted_run_is_returned_at_once(
    platform: PlatformUnderTest, handler: SendRequestHandler
) -> None:
    """As from the retry topic, hours after the halt."""
    await handler.handle([stopped(1)])
    await handler.handle([requested(message, run) for run, message in enumerate(new_ids(2))])
    assert Counter(event.run for event in platform.events()) == {0: 1, 1: 1}
    assert platform.state_counts() == {"returned": 2}


async def test_returned_message_is_queued_again_only_by_a_later_run(
    platform: PlatformUnderTest, handler: SendRequestHandler, sweeper: Sweeper, leases: PollingLeases
) -> None:
    [message] = new_ids(1)
    await handler.handle([requested(message), stopped()])
    await sweeper.return_unsent()
    await handler.handle([requested(message, run=0)])
    assert platform.state_counts() == {"returned": 1}, "the run is halted"
    assert len(platform.events()) == 2, "the repeated request is answered"
    await handler.handle([requested(message, run=1), requested(message, run=0)])
    assert len(await leases.lease_ready(5)) == 1
    await handler.handle([requested(message, run=2)])
    assert platform.state_counts() == {"leased": 1}, "a leased message is not leased again"


async def test_message_past_its_window_is_returned_and_past_its_lifetime_expired(
    platform: PlatformUnderTest, handler: SendRequestHandler, sweeper: Sweeper, leases: PollingLeases
) -> None:
    past, future = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    late, expired, both, in_time = new_ids(4)
    await handler.handle(
        [
            requested(late, send_before=past, expires_at=future),
            requested(expired, expires_at=past),
            requested(both, send_before=past, expires_at=past),
            requested(in_time, send_before=future, expires_at=future),
        ]
    )
    assert [str(leased.message_id) for leased in await leases.lease_ready(5)] == [in_time]
    await sweeper.return_unsent()
    kinds = {event.message_id: type(event) for event in platform.events()}
    assert kinds == {late: MessageReturned, expired: MessageExpired, both: MessageExpired}
    assert platform.state_counts() == {"leased": 1, "returned": 1, "expired": 2}


async def test_sweep_of_expired_messages_uses_an_index(
    platform: PlatformUnderTest, database: Database
) -> None:
    """In the order of their keys it would scan all messages to learn that none is late."""
    platform.database.execute(
        "INSERT INTO whatsapp.messages"
        " (company, message_id, campaign_id, contact_id, connection, recipient, text)"
        " SELECT 'acme', gen_random_uuid(), 'campaign', 'contact', 'main', '+5511999999999', 'Hello'"
        " FROM generate_series(1, 20000)"
    )
    platform.database.execute("ANALYZE whatsapp.messages")
    async with database.transaction() as transaction:
        query = str(SQL["return_expired"]).replace(":batch_size", str(SWEEP_BATCH_SIZE))
        plan = [row[0] for row in await transaction.fetch_all(text(f"EXPLAIN {query}"))]
    assert any("messages_queued_by_deadline" in line for line in plan), plan


async def test_many_messages_are_returned_once_in_bounded_transactions(
    platform: PlatformUnderTest, handler: SendRequestHandler, sweeper: Sweeper
) -> None:
    count = SWEEP_BATCH_SIZE + 7
    await handler.handle([requested(message) for message in new_ids(count)])
    await handler.handle([stopped()])
    assert [await sweeper.return_unsent() for _ in range(3)] == [SWEEP_BATCH_SIZE, 7, 0]
    assert len({event.message_id for event in platform.events()}) == len(platform.events()) == count
