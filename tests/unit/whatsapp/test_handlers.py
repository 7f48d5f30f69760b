"""Handlers, consumer and jobs on the in-memory unit of work."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from services.contracts.v1.events_pb2 import CampaignRunStopped, MessageRequested, MessagesRequested
from services.kit.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    UnauthorisedError,
)
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from services.whatsapp.commands import PutConnection, ReceiveWebhook, SendReply, VerifySubscription
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.domain.message_states import DeliveryState, MessageState
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.domain.signature import sign
from services.whatsapp.fakes import FakeReadyQueue, FakeUnitOfWork
from services.whatsapp.handlers import (
    get_connection,
    get_message,
    put_connection,
    receive_webhook,
    send_reply,
    verify_subscription,
)
from services.whatsapp.jobs.sweeper import Sweeper
from services.whatsapp.jobs.webhook_processor import WebhookProcessor

SECRET = b"app-secret"


def connection(company: str = "acme", quota: int | None = None, *, keep_quota: bool = False) -> PutConnection:
    return PutConnection(company, "main", "123", 10, quota, keep_quota)


def reply(key: str = "key-0001", text: str = "Hello", ttl_seconds: float = 3600) -> SendReply:
    return SendReply("acme", key, "main", "+5511999999999", text, ttl_seconds)


@pytest.fixture
def uow() -> FakeUnitOfWork:
    return FakeUnitOfWork()


async def test_number_of_another_company_is_a_conflict(uow: FakeUnitOfWork) -> None:
    await put_connection(connection(), uow)
    with pytest.raises(ConflictError):
        await put_connection(connection("rival"), uow)
    assert uow.commits == 1
    with pytest.raises(NotFoundError):
        await get_connection("rival", "main", uow)


async def test_quota_is_kept_when_the_request_leaves_it_out(uow: FakeUnitOfWork) -> None:
    await put_connection(connection(quota=250), uow)
    await put_connection(connection(keep_quota=True), uow)
    assert (await get_connection("acme", "main", uow)).recipients_per_day == 250


async def test_same_idempotency_key_queues_one_reply(uow: FakeUnitOfWork) -> None:
    await put_connection(connection(), uow)
    ready_queue = FakeReadyQueue()
    first = await send_reply(reply(), uow, ready_queue, 80)
    assert await send_reply(reply(), uow, ready_queue, 80) == first
    assert list(ready_queue.pending) == [ReadyConnection("acme", "main", replies=True)]
    assert (await get_message("acme", first, uow)).state is MessageState.QUEUED
    with pytest.raises(ConflictError):
        await send_reply(reply(text="another"), uow, ready_queue, 80)


async def test_reply_is_rejected_when_it_would_wait_longer_than_its_lifetime(uow: FakeUnitOfWork) -> None:
    await put_connection(connection(), uow)
    for index in range(20):
        await send_reply(reply(f"key-{index}"), uow, FakeReadyQueue(), 80)
    with pytest.raises(OverloadedError):
        await send_reply(reply(ttl_seconds=1), uow, FakeReadyQueue(), 80)


async def test_reply_needs_a_connection(uow: FakeUnitOfWork) -> None:
    with pytest.raises(NotFoundError, match="PUT /connections/main"):
        await send_reply(reply(), uow, FakeReadyQueue(), 80)
    with pytest.raises(NotFoundError):
        await get_message("acme", uuid7(), uow)


async def test_only_signed_webhooks_are_stored(uow: FakeUnitOfWork) -> None:
    with pytest.raises(UnauthorisedError):
        await receive_webhook(ReceiveWebhook(b"{}", None), uow, (b"new", SECRET))
    with pytest.raises(ForbiddenError):
        await receive_webhook(ReceiveWebhook(b"{}", "sha256=00"), uow, (b"new", SECRET))
    await receive_webhook(ReceiveWebhook(b"{}", sign(SECRET, b"{}")), uow, (b"new", SECRET))
    assert uow.fake_webhooks.bodies == [b"{}"]


def test_verification_returns_challenge_for_the_right_token() -> None:
    for token in ("token", "new"):
        command = VerifySubscription("subscribe", token, "12345")
        assert verify_subscription(command, (b"new", b"token")) == "12345"
    for command in (VerifySubscription("subscribe", "x", "1"), VerifySubscription("other", "token", "1")):
        with pytest.raises(ForbiddenError):
            verify_subscription(command, (b"new", b"token"))


async def test_webhook_changes_state_and_publishes_one_event(uow: FakeUnitOfWork) -> None:
    await put_connection(connection(), uow)
    message_id = uuid7()
    uow.fake_delivery_states.states["acme", message_id] = DeliveryState(
        "acme", message_id, "campaign", MessageState.ACCEPTED, None, None, {}
    )
    status = {"id": "wamid.1", "status": "read", "biz_opaque_callback_data": str(message_id)}
    value = {"metadata": {"phone_number_id": "123"}, "statuses": [status, status]}
    uow.fake_webhooks.bodies = [json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode(), b"{"]
    assert await WebhookProcessor(uow).process_batch() == 2
    assert await WebhookProcessor(uow).process_batch() == 0
    assert uow.fake_delivery_states.states["acme", message_id].state is MessageState.READ
    assert uow.fake_webhooks.parse_errors == {0: None, 1: "the body is not JSON"}
    assert len(uow.fake_outbox.events) == 1


def requested(message_id: UUID, run: int = 0) -> InboundEvent:
    request = MessageRequested(
        message_id=str(message_id), campaign_id="c", connection="main", to="+5511", text="Hello", run=run
    )
    return InboundEvent(uuid7(), "acme", MessagesRequested(requests=[request]))


async def test_request_of_a_halted_run_is_returned_and_queued_again_by_a_later_run(
    uow: FakeUnitOfWork,
) -> None:
    message_id, handler = uuid7(), SendRequestHandler(uow, FakeReadyQueue())
    stopped = InboundEvent(uuid7(), "acme", CampaignRunStopped(campaign_id="c", connection="main", run=0))
    await handler.handle([requested(message_id), stopped])
    assert (await get_message("acme", message_id, uow)).state is MessageState.RETURNED
    await handler.handle([requested(message_id, run=1)])
    assert (await get_message("acme", message_id, uow)).state is MessageState.QUEUED
    assert await Sweeper(uow, interval_seconds=1).return_unsent() == 0
    assert len(uow.fake_outbox.events) == 1
