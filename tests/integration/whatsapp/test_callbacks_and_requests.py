"""The worker's steps and the HTTP face on real Postgres."""

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
    StatusChanged,
)
from services.kit.auth import Tokens
from services.kit.events import Incoming
from services.kit.ids import uuid7
from services.whatsapp.adapters.fake_turns import FakeTurns
from services.whatsapp.adapters.http import CALLBACK_BYTES
from services.whatsapp.bootstrap import assemble_api
from services.whatsapp.handlers import Callbacks, Keeper
from services.whatsapp.requests import Requests
from services.whatsapp.settings import ApiSettings
from services.whatsapp.signature import HEADER, sign
from tests.controllers.redis import Redis
from tests.integration.whatsapp.conftest import KEY, NUMBER

if TYPE_CHECKING:
    from uuid import UUID

    from services.kit.database import Database
    from tests.integration.whatsapp.conftest import Platform

pytestmark = pytest.mark.integration
SECRET = b"app-secret"


def bearer(company: str = "acme", scope: str = "connections:write") -> dict[str, str]:
    return {"Authorization": f"Bearer {Tokens(KEY).issue('test', company, [scope])}"}


def status(tracker: UUID | None, kind: str, provider_id: str = "wamid.1", **more: Any) -> dict[str, Any]:
    entry = {"id": provider_id, "status": kind, "timestamp": "1790000000"} | more
    return entry | ({"biz_opaque_callback_data": str(tracker)} if tracker else {})


def body(*statuses: dict[str, Any], number: str = NUMBER) -> bytes:
    value = {"metadata": {"phone_number_id": number}, "statuses": statuses}
    return json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).encode()


async def post(client: httpx.AsyncClient, raw: bytes, signature: str | None = "right") -> int:
    headers = {} if signature is None else {HEADER: sign(SECRET, raw) if signature == "right" else signature}
    return (await client.post("/webhooks/cloud", content=raw, headers=headers)).status_code


async def connected(client: httpx.AsyncClient, company: str = "acme", number: str = NUMBER) -> int:
    answer = await client.put("/connections/main", json={"phone_number_id": number}, headers=bearer(company))
    return answer.status_code


def rows(platform: Platform, statement: str) -> list[str]:
    return platform.database.execute(statement).splitlines()


async def test_a_signed_callback_is_stored_as_it_came(platform: Platform, client: httpx.AsyncClient) -> None:
    raw = body(status(uuid7(), "sent")) + b"  "
    assert await post(client, raw) == 200
    assert rows(platform, "SELECT encode(body, 'hex') FROM whatsapp.callbacks") == [raw.hex()]


@pytest.mark.parametrize(("signature", "answer"), [(None, 401), ("sha256=00", 403), ("", 403)])
async def test_an_unsigned_or_forged_callback_is_refused_and_not_stored(
    platform: Platform, client: httpx.AsyncClient, signature: str | None, answer: int
) -> None:
    assert await post(client, b"{}", signature) == answer
    assert rows(platform, "SELECT count(*) FROM whatsapp.callbacks") == ["0"]


async def test_a_body_beyond_the_providers_limit_is_refused(client: httpx.AsyncClient) -> None:
    assert await post(client, b"x" * (CALLBACK_BYTES + 1)) == 413
    assert await post(client, b"x" * (2 << 20)) == 200


@pytest.mark.parametrize(("token", "answer"), [("verify", 200), ("wrong", 403)])
async def test_the_handshake_shows_the_challenge_to_who_knows_the_token(
    client: httpx.AsyncClient, token: str, answer: int
) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "12345", "hub.verify_token": token}
    shown = await client.get("/webhooks/cloud", params=query)
    assert shown.status_code == answer
    assert (shown.text == "12345") == (answer == 200)


async def test_a_number_belongs_to_one_company(client: httpx.AsyncClient) -> None:
    assert await connected(client) == 200
    assert await connected(client) == 200
    assert await connected(client, company="rival") == 409


async def test_a_connection_needs_the_scope(client: httpx.AsyncClient) -> None:
    answer = await client.put(
        "/connections/main", json={"phone_number_id": "1"}, headers=bearer(scope="contacts:read")
    )
    assert answer.status_code == 403


async def test_a_connection_tells_how_it_stands_and_keeps_its_quota(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    both = bearer(scope="connections:read connections:write")
    body = {"phone_number_id": NUMBER, "recipients_per_day": 250}
    assert (await client.put("/connections/main", json=body, headers=both)).status_code == 200
    assert await connected(client) == 200, "a quota that is not spoken of stays"
    platform.request(3)
    platform.database.execute("INSERT INTO whatsapp.reached VALUES ('acme', 'main', '+551191')")
    found = (await client.get("/connections/main", headers=both)).json()
    assert (found["recipients_per_day"], found["reached"], found["waiting"]) == (250, 1, 3)
    assert (
        await client.put("/connections/main", json=body | {"recipients_per_day": None}, headers=both)
    ).is_success
    found = (await client.get("/connections/main", headers=both)).json()
    assert found["recipients_per_day"] is None
    assert (
        await client.get("/connections/main", headers=bearer("rival", "connections:read"))
    ).status_code == 404


async def test_reports_move_messages_and_are_told_once(
    platform: Platform, client: httpx.AsyncClient, database: Database
) -> None:
    await connected(client)
    (message,) = platform.request(1)
    for kind in ("delivered", "sent", "delivered", "sent"):
        await post(client, body(status(message, kind)))
    assert await Callbacks(database).step() == 4
    assert await Callbacks(database).step() == 0
    assert platform.states() == {"delivered": 1}
    (event,) = platform.told()
    assert isinstance(event, StatusChanged)
    assert (event.message_id, event.campaign_id, event.status) == (str(message), "campaign", STATUS_DELIVERED)


async def test_an_uncertain_message_is_resolved_by_our_echoed_id(
    platform: Platform, client: httpx.AsyncClient, database: Database
) -> None:
    await connected(client)
    (message,) = platform.request(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'uncertain'")
    await post(client, body(status(message, "sent", "wamid.unheard-of")))
    await Callbacks(database).step()
    assert rows(platform, "SELECT state, provider_id FROM whatsapp.messages") == ["sent|wamid.unheard-of"]


async def test_a_report_without_our_id_is_about_no_message_of_ours(
    platform: Platform, client: httpx.AsyncClient, database: Database
) -> None:
    await connected(client)
    (message,) = platform.request(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'accepted', provider_id = 'wamid.7'")
    await post(client, body(status(None, "failed", "wamid.7"), status(message, "sent", "wamid.7")))
    assert await Callbacks(database).step() == 1
    assert platform.states() == {"sent": 1}


async def test_another_companys_number_cannot_move_a_message(
    platform: Platform, client: httpx.AsyncClient, database: Database
) -> None:
    await connected(client)
    await connected(client, company="rival", number="666")
    (message,) = platform.request(1)
    await post(client, body(status(message, "read"), number="666"))
    await Callbacks(database).step()
    assert platform.states() == {"queued": 1}


async def test_an_unreadable_callback_is_set_aside_and_the_rest_goes_on(
    platform: Platform, client: httpx.AsyncClient, database: Database
) -> None:
    await connected(client)
    (message,) = platform.request(1)
    await post(client, b"{")
    await post(client, body(status(message, "sent"), status(uuid7(), "sent")))
    await Callbacks(database).step()
    assert platform.states() == {"sent": 1}
    assert rows(platform, "SELECT id, fault FROM whatsapp.callbacks ORDER BY id") == [
        "1|the body is no JSON",
        "2|",
    ]


async def test_old_callbacks_are_forgotten(platform: Platform, database: Database) -> None:
    platform.database.execute(
        "INSERT INTO whatsapp.callbacks (body, processed_at)"
        " VALUES ('a', now() - interval '2 days'), ('b', now()), ('c', NULL)"
    )
    assert await Keeper(database, keep_seconds=86400).purge() == 1
    assert rows(platform, "SELECT count(*) FROM whatsapp.callbacks") == ["2"]


def requested(message: str, text: str = "Hello") -> Incoming:
    event = MessageRequested(
        message_id=message, campaign_id="c", contact_id="1", connection="main", to="+5511999999999", text=text
    )
    return Incoming(uuid7(), "acme", event)


async def test_a_request_is_stored_once_however_often_it_comes(
    platform: Platform, database: Database
) -> None:
    handle = Requests(database, FakeTurns()).handle
    first, again = requested(str(uuid7())), requested(str(uuid7()))
    await handle([first, again])
    await handle([first, again])
    # The same message in another event: the message's own id decides.
    await handle([requested(first.event.message_id), requested(first.event.message_id)])
    assert platform.states() == {"queued": 2}


async def test_who_asks_again_is_told_where_a_message_is(platform: Platform, database: Database) -> None:
    """After a loss of what was in Kafka: the news of a message may have been in it."""
    handle = Requests(database, FakeTurns()).handle
    waiting, accepted, delivered = (str(uuid7()) for _ in range(3))
    await handle([requested(message) for message in (waiting, accepted, delivered)])
    move = "UPDATE whatsapp.messages SET state = '{}', provider_id = 'wamid.1' WHERE message_id = '{}'"
    platform.database.execute(move.format("accepted", accepted))
    platform.database.execute(move.format("delivered", delivered))
    await handle([requested(message) for message in (waiting, accepted, delivered)])
    assert platform.states() == {"queued": 1, "accepted": 1, "delivered": 1}
    events = {event.message_id: event for event in platform.told()}
    assert set(events) == {accepted, delivered}
    assert isinstance(events[accepted], MessageAccepted)
    assert events[delivered].status == STATUS_DELIVERED


@pytest.mark.parametrize("wrong", [requested("no id"), requested(str(uuid7()), "x" * 4097)])
async def test_a_request_that_makes_no_sense_is_refused_and_nothing_is_stored(
    platform: Platform, database: Database, wrong: Incoming
) -> None:
    with pytest.raises(ValueError, match=r"UUID|longer"):
        await Requests(database, FakeTurns()).handle([wrong])
    assert platform.states() == {}


async def test_operators_see_the_queues_and_without_redis_are_told_so(
    api_settings: ApiSettings,
) -> None:
    server = Redis()
    headers = bearer("operators", "queues:read queues:write")
    try:
        server.start()
        given = api_settings.model_copy(update={"redis_server": server.address})
        async with AsyncExitStack() as stack:
            parts = await assemble_api(given, stack)
            transport = httpx.ASGITransport(parts.app)
            api = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://api")
            )
            queues = (await api.get("/queues", headers=headers)).json()["queues"]
            assert [each["queue"] for each in queues] == ["whatsapp.dispatch"]
            paused = await api.patch("/queues/whatsapp.dispatch", json={"paused": True}, headers=headers)
            assert paused.json()["paused"]
            server.kill()
            answer = await api.get("/queues", headers=headers)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert await parts.health.reasons() == {}, "callbacks need no Redis"
    finally:
        server.stop()
