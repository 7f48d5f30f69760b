"""API, webhook processor and consumer on real Postgres."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.contracts.v1.events_pb2 import (
    STATUS_DELIVERED,
    MessageAccepted,
    MessageRequested,
    MessagesRequested,
    MessageStatusChanged,
)
from services.kit.http.auth import JwtTokens
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from services.whatsapp.api.routes_webhooks import MAX_WEBHOOK_BYTES
from services.whatsapp.bootstrap import build_api
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.domain.signature import SIGNATURE_HEADER, sign
from services.whatsapp.fakes import FakeReadyQueue
from services.whatsapp.jobs.purger import Purger
from services.whatsapp.jobs.webhook_processor import WebhookProcessor
from services.whatsapp.settings import ApiSettings
from tests.integration.whatsapp.conftest import KEY, NUMBER
from tests.servers.redis import Redis

if TYPE_CHECKING:
    from uuid import UUID

    from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
    from tests.integration.whatsapp.conftest import PlatformUnderTest

pytestmark = pytest.mark.integration
SECRET = b"app-secret"


def bearer(company: str = "acme", scope: str = "connections:write") -> dict[str, str]:
    return {"Authorization": f"Bearer {JwtTokens(KEY).issue('test', company, [scope])}"}


def status(
    client_reference: UUID | None, kind: str, provider_id: str = "wamid.1", **more: Any
) -> dict[str, Any]:
    entry = {"id": provider_id, "status": kind, "timestamp": "1790000000"} | more
    return entry | ({"biz_opaque_callback_data": str(client_reference)} if client_reference else {})


def body(*statuses: dict[str, Any], number: str = NUMBER) -> bytes:
    value = {"metadata": {"phone_number_id": number}, "statuses": statuses}
    return json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()


async def post(client: httpx.AsyncClient, raw: bytes, signature: str | None = "valid") -> int:
    value = sign(SECRET, raw) if signature == "valid" else signature
    headers = {} if value is None else {SIGNATURE_HEADER: value}
    return (await client.post("/webhooks/cloud", content=raw, headers=headers)).status_code


async def put_connection(client: httpx.AsyncClient, company: str = "acme", number: str = NUMBER) -> int:
    response = await client.put(
        "/connections/main", json={"phone_number_id": number}, headers=bearer(company)
    )
    return response.status_code


def rows(platform: PlatformUnderTest, statement: str) -> list[str]:
    return platform.database.execute(statement).splitlines()


async def test_signed_webhook_is_stored_as_received(
    platform: PlatformUnderTest, client: httpx.AsyncClient
) -> None:
    raw = body(status(uuid7(), "sent")) + b"  "
    assert await post(client, raw) == 200
    assert rows(platform, "SELECT encode(body, 'hex') FROM whatsapp.webhook_deliveries") == [raw.hex()]


@pytest.mark.parametrize(("signature", "code"), [(None, 401), ("sha256=00", 403), ("", 403)])
async def test_webhook_without_valid_signature_is_rejected_and_not_stored(
    platform: PlatformUnderTest, client: httpx.AsyncClient, signature: str | None, code: int
) -> None:
    assert await post(client, b"{}", signature) == code
    assert rows(platform, "SELECT count(*) FROM whatsapp.webhook_deliveries") == ["0"]


async def test_webhook_above_the_providers_limit_returns_413(client: httpx.AsyncClient) -> None:
    assert await post(client, b"x" * (MAX_WEBHOOK_BYTES + 1)) == 413
    assert await post(client, b"x" * (2 << 20)) == 200


@pytest.mark.parametrize(("token", "code"), [("verify", 200), ("wrong", 403)])
async def test_verification_request_needs_the_token(client: httpx.AsyncClient, token: str, code: int) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "12345", "hub.verify_token": token}
    response = await client.get("/webhooks/cloud", params=query)
    assert response.status_code == code
    assert (response.text == "12345") == (code == 200)


async def test_number_belongs_to_one_company(client: httpx.AsyncClient) -> None:
    assert await put_connection(client) == 200
    assert await put_connection(client) == 200
    assert await put_connection(client, company="rival") == 409


async def test_connection_needs_the_scope(client: httpx.AsyncClient) -> None:
    response = await client.put(
        "/connections/main", json={"phone_number_id": "1"}, headers=bearer(scope="contacts:read")
    )
    assert response.status_code == 403


async def test_connection_returns_its_load_and_keeps_its_quota(
    platform: PlatformUnderTest, client: httpx.AsyncClient
) -> None:
    headers = bearer(scope="connections:read connections:write")
    quota = {"phone_number_id": NUMBER, "recipients_per_day": 250}
    assert (await client.put("/connections/main", json=quota, headers=headers)).status_code == 200
    assert await put_connection(client) == 200, "a quota that is left out stays"
    platform.queue_messages(3)
    platform.database.execute("INSERT INTO whatsapp.daily_recipients VALUES ('acme', 'main', '+551191')")
    state = (await client.get("/connections/main", headers=headers)).json()
    assert (state["recipients_per_day"], state["recipients_last_24h"], state["pending_messages"]) == (
        250,
        1,
        3,
    )
    unlimited = quota | {"recipients_per_day": None}
    assert (await client.put("/connections/main", json=unlimited, headers=headers)).is_success
    state = (await client.get("/connections/main", headers=headers)).json()
    assert state["recipients_per_day"] is None
    foreign = await client.get("/connections/main", headers=bearer("rival", "connections:read"))
    assert foreign.status_code == 404


async def test_statuses_change_messages_and_are_published_once(
    platform: PlatformUnderTest, client: httpx.AsyncClient, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    await put_connection(client)
    (message,) = platform.queue_messages(1)
    for kind in ("delivered", "sent", "delivered", "sent"):
        await post(client, body(status(message, kind)))
    assert await WebhookProcessor(unit_of_work).process_batch() == 4
    assert await WebhookProcessor(unit_of_work).process_batch() == 0
    assert platform.state_counts() == {"delivered": 1}
    (event,) = platform.events()
    assert isinstance(event, MessageStatusChanged)
    assert (event.message_id, event.campaign_id, event.status) == (str(message), "campaign", STATUS_DELIVERED)


async def test_uncertain_message_is_resolved_by_client_reference(
    platform: PlatformUnderTest, client: httpx.AsyncClient, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    await put_connection(client)
    (message,) = platform.queue_messages(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'uncertain'")
    await post(client, body(status(message, "sent", "wamid.unknown")))
    await WebhookProcessor(unit_of_work).process_batch()
    assert rows(platform, "SELECT state, provider_id FROM whatsapp.messages") == ["sent|wamid.unknown"]


async def test_status_without_client_reference_matches_no_message(
    platform: PlatformUnderTest, client: httpx.AsyncClient, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    await put_connection(client)
    (message,) = platform.queue_messages(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'accepted', provider_id = 'wamid.7'")
    await post(client, body(status(None, "failed", "wamid.7"), status(message, "sent", "wamid.7")))
    assert await WebhookProcessor(unit_of_work).process_batch() == 1
    assert platform.state_counts() == {"sent": 1}


async def test_number_of_another_company_cannot_change_a_message(
    platform: PlatformUnderTest, client: httpx.AsyncClient, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    await put_connection(client)
    await put_connection(client, company="rival", number="666")
    (message,) = platform.queue_messages(1)
    await post(client, body(status(message, "read"), number="666"))
    await WebhookProcessor(unit_of_work).process_batch()
    assert platform.state_counts() == {"queued": 1}


async def test_malformed_webhook_is_marked_and_the_others_are_processed(
    platform: PlatformUnderTest, client: httpx.AsyncClient, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    await put_connection(client)
    (message,) = platform.queue_messages(1)
    await post(client, b"{")
    await post(client, body(status(message, "sent"), status(uuid7(), "sent")))
    await WebhookProcessor(unit_of_work).process_batch()
    assert platform.state_counts() == {"sent": 1}
    assert rows(platform, "SELECT id, parse_error FROM whatsapp.webhook_deliveries ORDER BY id") == [
        "1|the body is not JSON",
        "2|",
    ]


async def test_old_webhooks_are_purged(
    platform: PlatformUnderTest, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    platform.database.execute(
        "INSERT INTO whatsapp.webhook_deliveries (body, processed_at)"
        " VALUES ('a', now() - interval '2 days'), ('b', now()), ('c', NULL)"
    )
    assert await Purger(unit_of_work, webhook_retention_seconds=86400).purge() == 1
    assert rows(platform, "SELECT count(*) FROM whatsapp.webhook_deliveries") == ["2"]


def requested(message: str, text: str = "Hello") -> InboundEvent:
    request = MessageRequested(
        message_id=message, campaign_id="c", contact_id="1", connection="main", to="+5511999999999", text=text
    )
    return InboundEvent(uuid7(), "acme", MessagesRequested(requests=[request]))


async def test_repeated_request_is_queued_once(
    platform: PlatformUnderTest, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    handle = SendRequestHandler(unit_of_work, FakeReadyQueue()).handle
    message = str(uuid7())
    first, second = requested(message), requested(str(uuid7()))
    await handle([first, second])
    await handle([first, second])
    # The same message in another event: the message id decides.
    await handle([requested(message), requested(message)])
    assert platform.state_counts() == {"queued": 2}


async def test_repeated_request_publishes_the_state_of_its_message(
    platform: PlatformUnderTest, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    """After a loss of Kafka's data, which may have included the message's events."""
    handle = SendRequestHandler(unit_of_work, FakeReadyQueue()).handle
    queued, accepted, delivered = (str(uuid7()) for _ in range(3))
    await handle([requested(message) for message in (queued, accepted, delivered)])
    update = "UPDATE whatsapp.messages SET state = '{}', provider_id = 'wamid.1' WHERE message_id = '{}'"
    platform.database.execute(update.format("accepted", accepted))
    platform.database.execute(update.format("delivered", delivered))
    await handle([requested(message) for message in (queued, accepted, delivered)])
    assert platform.state_counts() == {"queued": 1, "accepted": 1, "delivered": 1}
    events = {event.message_id: event for event in platform.events()}
    assert set(events) == {accepted, delivered}
    assert isinstance(events[accepted], MessageAccepted)
    assert events[delivered].status == STATUS_DELIVERED


@pytest.mark.parametrize("invalid", [requested("no id"), requested(str(uuid7()), "x" * 4097)])
async def test_invalid_request_raises_and_stores_nothing(
    platform: PlatformUnderTest, unit_of_work: PostgresUnitOfWorkFactory, invalid: InboundEvent
) -> None:
    with pytest.raises(ValueError, match=r"UUID|longer"):
        await SendRequestHandler(unit_of_work, FakeReadyQueue()).handle([invalid])
    assert platform.state_counts() == {}


async def test_queue_routes_return_503_without_redis(api_settings: ApiSettings) -> None:
    server = Redis(service="whatsapp")
    headers = bearer("operators", "queues:read queues:write")
    try:
        server.start()
        settings = api_settings.model_copy(update=server.settings().model_dump())
        async with AsyncExitStack() as stack:
            components = await build_api(settings, stack)
            transport = httpx.ASGITransport(components.app)
            api = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://api")
            )
            queues = (await api.get("/queues", headers=headers)).json()["queues"]
            assert [queue["queue"] for queue in queues] == ["whatsapp.dispatch"]
            paused = await api.patch("/queues/whatsapp.dispatch", json={"paused": True}, headers=headers)
            assert paused.json()["paused"]
            server.kill()
            response = await api.get("/queues", headers=headers)
            assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
            assert await components.health.readiness_problems() == {}, "webhooks need no Redis"
    finally:
        server.stop()
