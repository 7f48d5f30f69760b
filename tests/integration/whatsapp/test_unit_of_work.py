"""The in-memory unit of work behaves as the one on Postgres."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from services.contracts.v1.events_pb2 import CampaignRunStopped, MessageRequested, MessagesRequested
from services.kit.errors import ConflictError, OverloadedError
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from services.whatsapp import handlers
from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
from services.whatsapp.commands import PutConnection, ReceiveWebhook, SendReply
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.signature import sign
from services.whatsapp.fakes import FakeReadyQueue, FakeUnitOfWork
from services.whatsapp.jobs.sweeper import Sweeper
from services.whatsapp.jobs.webhook_processor import WebhookProcessor

if TYPE_CHECKING:
    from uuid import UUID

    from services.kit.postgres.database import Database
    from services.whatsapp.ports import UnitOfWorkFactory

pytestmark = pytest.mark.integration
SECRET = b"app-secret"


@pytest.fixture(params=["memory", "postgres"])
def factory(request: pytest.FixtureRequest, database: Database) -> UnitOfWorkFactory:
    return FakeUnitOfWork() if request.param == "memory" else PostgresUnitOfWorkFactory(database)


def connection(company: str = "acme", quota: int | None = None, *, keep_quota: bool = False) -> PutConnection:
    return PutConnection(company, "main", "123", 10, quota, keep_quota)


def reply(index: int, text: str = "Hello", ttl_seconds: float = 3600) -> SendReply:
    return SendReply("acme", f"key-{index:04d}", "main", "+5511999999999", text, ttl_seconds)


def requested(message_id: UUID, run: int) -> InboundEvent:
    request = MessageRequested(
        message_id=str(message_id), campaign_id="c", connection="main", to="+5511", text="Hello", run=run
    )
    return InboundEvent(uuid7(), "acme", MessagesRequested(requests=[request]))


async def test_connection_keeps_owner_and_quota(factory: UnitOfWorkFactory) -> None:
    await handlers.put_connection(connection(quota=250), factory)
    await handlers.put_connection(connection(keep_quota=True), factory)
    with pytest.raises(ConflictError):
        await handlers.put_connection(connection("rival"), factory)
    details = await handlers.get_connection("acme", "main", factory)
    assert (details.recipients_per_day, details.messages_per_second, details.throttle_factor) == (250, 10, 1)


async def test_reply_is_idempotent_and_admitted_by_load(factory: UnitOfWorkFactory) -> None:
    await handlers.put_connection(connection(), factory)
    message_id = await handlers.send_reply(reply(0), factory, FakeReadyQueue(), 80)
    assert await handlers.send_reply(reply(0), factory, FakeReadyQueue(), 80) == message_id
    with pytest.raises(ConflictError):
        await handlers.send_reply(reply(0, "another"), factory, FakeReadyQueue(), 80)
    for index in range(1, 12):
        await handlers.send_reply(reply(index), factory, FakeReadyQueue(), 80)
    with pytest.raises(OverloadedError, match="would wait 1 s"):
        await handlers.send_reply(reply(99, ttl_seconds=1), factory, FakeReadyQueue(), 80)
    message = await handlers.get_message("acme", message_id, factory)
    assert (message.state, message.text) == (MessageState.QUEUED, "Hello")


async def test_request_follows_runs_and_halts(factory: UnitOfWorkFactory) -> None:
    message_id, handler = uuid7(), SendRequestHandler(factory, FakeReadyQueue())
    stopped = CampaignRunStopped(campaign_id="c", connection="main", run=0)
    states = []
    for event in (
        requested(message_id, 0),
        InboundEvent(uuid7(), "acme", stopped),
        requested(message_id, 0),
        requested(message_id, 1),
    ):
        await handler.handle([event])
        await Sweeper(factory, interval_seconds=1).return_unsent()
        states.append((await handlers.get_message("acme", message_id, factory)).state)
    assert states == [
        MessageState.QUEUED,
        MessageState.RETURNED,
        MessageState.RETURNED,
        MessageState.QUEUED,
    ]


async def test_webhooks_are_processed_once(factory: UnitOfWorkFactory) -> None:
    status = {"id": "wamid.1", "status": "read", "biz_opaque_callback_data": str(uuid7())}
    value = {"metadata": {"phone_number_id": "123"}, "statuses": [status]}
    for body in (json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode(), b"{"):
        await handlers.receive_webhook(ReceiveWebhook(body, sign(SECRET, body)), factory, (SECRET,))
    assert await WebhookProcessor(factory).process_batch() == 2
    assert await WebhookProcessor(factory).process_batch() == 0
