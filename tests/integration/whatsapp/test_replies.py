"""Replies: idempotent, before campaign messages, rejected when they would wait, private to their company."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.http.auth import JwtTokens
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import AttemptDecision, AttemptResult, MessageUpdate
from services.whatsapp.jobs.sweeper import Sweeper
from tests.integration.whatsapp.conftest import KEY

if TYPE_CHECKING:
    from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
    from tests.integration.whatsapp.conftest import PlatformUnderTest, PollingLeases

pytestmark = pytest.mark.integration
BODY = {"connection": "main", "to": "+5511999999999", "text": "Olá!"}


@pytest.fixture(autouse=True)
def slow_connection(platform: PlatformUnderTest) -> None:
    platform.add_connection(rate="10")


def headers(company: str = "acme", key: str = "key-0001") -> dict[str, str]:
    token = JwtTokens(KEY).issue("test", company, ["messages:read", "messages:write"])
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}


async def post(client: httpx.AsyncClient, key: str = "key-0001", **other: Any) -> httpx.Response:
    return await client.post("/messages", json=BODY | other, headers=headers(key=key))


async def test_reply_is_idempotent_by_key(client: httpx.AsyncClient) -> None:
    first, second = await post(client), await post(client)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert (await post(client, text="another")).status_code == 409
    assert (await post(client, key="key-0002")).json() != first.json()


async def test_replies_are_leased_before_campaign_messages(
    client: httpx.AsyncClient, platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(50)
    reply = (await post(client)).json()["id"]
    first, *rest = await leases.lease_ready(2)
    assert str(first.message_id) == reply
    assert len(rest) == 1, "the rest of the connection's share is for campaigns"


async def test_reply_state_is_polled_and_not_published(
    client: httpx.AsyncClient,
    platform: PlatformUnderTest,
    leases: PollingLeases,
    unit_of_work: PostgresUnitOfWorkFactory,
) -> None:
    reply = (await post(client)).json()["id"]
    path = f"/messages/{reply}"
    assert (await client.get(path, headers=headers())).json()["state"] == "queued"
    [leased] = await leases.lease_ready(1)
    update = MessageUpdate(MessageState.ACCEPTED, provider_id="wamid.1")
    assert await leases.record_results([AttemptResult(leased, AttemptDecision(update))]) == 1
    message = (await client.get(path, headers=headers())).json()
    assert (message["state"], message["to"], message["accepted_at"] is None) == (
        "accepted",
        BODY["to"],
        False,
    )
    await post(client, key="key-0002")
    platform.database.execute("UPDATE whatsapp.messages SET expires_at = now() WHERE state = 'queued'")
    await Sweeper(unit_of_work, interval_seconds=1).return_unsent()
    assert platform.state_counts() == {"accepted": 1, "expired": 1}
    assert platform.database.execute("SELECT count(*) FROM whatsapp.outbox").strip() == "0"


async def test_reply_that_would_wait_returns_429_with_retry_after(
    client: httpx.AsyncClient, platform: PlatformUnderTest
) -> None:
    platform.queue_messages(330)
    platform.database.execute("UPDATE whatsapp.messages SET priority = 1")
    rejected = await post(client)
    assert (rejected.status_code, rejected.headers["Retry-After"]) == (429, "3")
    assert "would wait 33 s" in rejected.json()["detail"]
    platform.database.execute("UPDATE whatsapp.messages SET priority = 0")
    assert (await post(client)).status_code == 202, "replies do not wait for campaign messages"
    assert (await post(client)).status_code == 202, "an accepted reply is not rejected later"


async def test_reply_on_suspended_connection_returns_429(
    client: httpx.AsyncClient, platform: PlatformUnderTest
) -> None:
    platform.database.execute(
        "UPDATE whatsapp.connections SET suspended_until = now() + interval '10 minutes'"
    )
    assert (await post(client)).status_code == 429


async def test_replies_of_another_company_are_not_found(client: httpx.AsyncClient) -> None:
    reply = (await post(client)).json()["id"]
    assert (await client.get(f"/messages/{reply}", headers=headers("other"))).status_code == 404
    foreign = await client.post("/messages", json=BODY, headers=headers("other"))
    assert foreign.status_code == 404
    assert "PUT /connections/main" in foreign.json()["detail"]


@pytest.mark.parametrize(
    "invalid",
    [
        {"to": "11999999999"},
        {"text": ""},
        {"text": "\x00"},
        {"connection": "No"},
        {"ttl_seconds": 0},
        {"x": 1},
    ],
)
async def test_invalid_body_returns_422(client: httpx.AsyncClient, invalid: dict[str, Any]) -> None:
    assert (await post(client, **invalid)).status_code == 422
