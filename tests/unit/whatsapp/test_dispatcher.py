"""Loops of the dispatcher, with in-memory leases and a fake sender."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from pydantic import SecretStr

from services.kit.ids import uuid7
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import (
    Accepted,
    LeasedMessage,
    NotSent,
    ReadyConnection,
    Rejected,
    SendOutcome,
    Unknown,
)
from services.whatsapp.fakes import FakeMessageLeases, FakeMessageSender, FakeReadyQueue
from services.whatsapp.jobs.dispatcher import Dispatcher
from services.whatsapp.settings import DispatcherSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from services.whatsapp.ports import MessageSender


def settings(concurrency: int = 4, batch: int = 4) -> DispatcherSettings:
    return DispatcherSettings(
        database_url=SecretStr("postgresql+asyncpg://x@localhost/x"),
        cloud_api_url="http://localhost",  # type: ignore[arg-type] # pydantic makes it a URL
        cloud_api_tokens=(SecretStr("x"),),
        redis_server="127.0.0.1:9",
        concurrency=concurrency,
        batch=batch,
    )


def leased_messages(count: int) -> list[LeasedMessage]:
    return [
        LeasedMessage("acme", uuid7(), "campaign", "123", "main", "+5511999999999", "Hello", 1, 0)
        for _ in range(count)
    ]


class SlowSender(FakeMessageSender):
    """Counts the calls in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = 0
        self.max_in_flight = 0

    async def send(self, message: LeasedMessage) -> SendOutcome:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        await asyncio.sleep(0.01)
        self.in_flight -= 1
        return await super().send(message)


class BrokenSender:
    """Raises, which senders must not do."""

    async def send(self, message: LeasedMessage) -> SendOutcome:
        raise RuntimeError(str(message.epoch))


@asynccontextmanager
async def running(
    leases: FakeMessageLeases, sender: MessageSender, **limits: int
) -> AsyncIterator[asyncio.Event]:
    """Run both loops until the block ends."""
    stop = asyncio.Event()
    ready_queue = FakeReadyQueue()
    await ready_queue.push([(ReadyConnection("acme", "main"), 0.0)])
    dispatcher = Dispatcher(
        leases, ready_queue, sender, settings(**limits), Random(1), permits=lambda requested: requested
    )
    loops = [asyncio.create_task(loop(stop)) for loop in (dispatcher.run, dispatcher.write_results)]
    try:
        async with asyncio.timeout(20):
            yield stop
    finally:
        stop.set()
        await asyncio.gather(*loops)


async def test_every_message_is_sent_once_and_its_result_recorded() -> None:
    leases, sender = FakeMessageLeases(leased_messages(50)), FakeMessageSender()
    async with running(leases, sender):
        await leases.all_recorded.wait()
    assert len(sender.send_counts) == 50
    assert set(sender.send_counts.values()) == {1}
    assert {result.decision.update.state for result in leases.results} == {MessageState.ACCEPTED}


async def test_calls_in_flight_are_limited() -> None:
    leases, sender = FakeMessageLeases(leased_messages(60)), SlowSender()
    async with running(leases, sender, concurrency=5, batch=3):
        await leases.all_recorded.wait()
    assert sender.max_in_flight <= 5
    assert leases.largest_limit <= 3


async def test_outcomes_become_message_states() -> None:
    leases = FakeMessageLeases(leased_messages(4))
    outcomes = [Accepted("wamid.1"), Unknown("ReadTimeout"), Rejected(131026, "x"), NotSent("ConnectError")]
    async with running(leases, FakeMessageSender(outcomes)):
        await leases.all_recorded.wait()
    assert [result.decision.update.state for result in leases.results] == [
        MessageState.ACCEPTED,
        MessageState.UNCERTAIN,
        MessageState.FAILED,
        MessageState.QUEUED,
    ]


async def test_results_wait_for_the_database() -> None:
    leases = FakeMessageLeases(leased_messages(4))
    leases.remaining_failures = 2
    async with running(leases, FakeMessageSender()):
        await leases.all_recorded.wait()
    assert len(leases.results) == 4


async def test_error_of_the_sender_leaves_the_message_uncertain() -> None:
    leases = FakeMessageLeases(leased_messages(1))
    async with running(leases, BrokenSender()):
        await leases.all_recorded.wait()
    assert leases.results[0].decision.update.state is MessageState.UNCERTAIN


async def test_calls_in_flight_are_recorded_before_shutdown() -> None:
    leases, sender = FakeMessageLeases(leased_messages(4)), SlowSender()
    async with running(leases, sender) as stop:
        while not sender.in_flight:
            await asyncio.sleep(0)
        stop.set()
    assert len(leases.results) == 4


async def test_suspension_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    leases = FakeMessageLeases(leased_messages(1))
    async with running(leases, FakeMessageSender([Rejected(190, "token expired")])):
        await leases.all_recorded.wait()
    assert leases.results[0].decision.suspend_seconds > 0
    assert "suspended" in caplog.text
