"""Replies: taken once, before campaigns, refused when they would wait, told about, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.auth import Tokens
from services.whatsapp.domain import Decision, Result, State, Verdict
from services.whatsapp.handlers import Sweeper
from tests.integration.whatsapp.conftest import KEY

if TYPE_CHECKING:
    from services.kit.database import Database
    from tests.integration.whatsapp.conftest import Platform, Taker

pytestmark = pytest.mark.integration
BODY = {"connection": "main", "to": "+5511999999999", "text": "Olá!"}


@pytest.fixture(autouse=True)
def slow_connection(platform: Platform) -> None:
    platform.add_connection(rate="10")


def headers(company: str = "acme", key: str = "key-0001") -> dict[str, str]:
    token = Tokens(KEY).issue("test", company, ["messages:read", "messages:write"])
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}


async def post(client: httpx.AsyncClient, key: str = "key-0001", **other: Any) -> httpx.Response:
    return await client.post("/messages", json=BODY | other, headers=headers(key=key))


async def test_a_reply_is_taken_once_however_often_it_is_asked(client: httpx.AsyncClient) -> None:
    first, again = await post(client), await post(client)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert (await post(client, text="another")).status_code == 409
    assert (await post(client, key="key-0002")).json() != first.json()


async def test_replies_go_before_campaigns(
    client: httpx.AsyncClient, platform: Platform, claims: Taker
) -> None:
    platform.request(50)
    reply = (await post(client)).json()["id"]
    first, *rest = await claims.take(2)
    assert str(first.message_id) == reply
    assert len(rest) == 1, "and what is left of the number's share is the campaigns'"


async def test_where_a_reply_is_can_be_asked_and_no_campaign_is_told(
    client: httpx.AsyncClient, platform: Platform, claims: Taker, database: Database
) -> None:
    reply = (await post(client)).json()["id"]
    path = f"/messages/{reply}"
    assert (await client.get(path, headers=headers())).json()["state"] == "queued"
    [claim] = await claims.take(1)
    verdict = Verdict(State.ACCEPTED, provider_id="wamid.1")
    assert await claims.settle([Result(claim, Decision(verdict))]) == 1
    told = (await client.get(path, headers=headers())).json()
    assert (told["state"], told["to"], told["accepted_at"] is None) == ("accepted", BODY["to"], False)
    await post(client, key="key-0002")
    platform.database.execute("UPDATE whatsapp.messages SET expires_at = now() WHERE state = 'queued'")
    await Sweeper(database, every_seconds=1).hand_back()
    assert platform.states() == {"accepted": 1, "expired": 1}
    assert platform.database.execute("SELECT count(*) FROM whatsapp.outbox").strip() == "0"


async def test_a_reply_that_would_wait_is_refused_with_the_time_to_come_back(
    client: httpx.AsyncClient, platform: Platform
) -> None:
    platform.request(330)
    platform.database.execute("UPDATE whatsapp.messages SET urgency = 1")
    refused = await post(client)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    assert "would wait 33 s" in refused.json()["detail"]
    platform.database.execute("UPDATE whatsapp.messages SET urgency = 0")
    assert (await post(client)).status_code == 202, "campaigns wait for replies, not they for them"
    assert (await post(client)).status_code == 202, "and who was taken is not refused later"


async def test_a_reply_on_a_held_connection_is_refused(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.database.execute("UPDATE whatsapp.connections SET held_until = now() + interval '10 minutes'")
    assert (await post(client)).status_code == 429


async def test_nobody_reads_or_writes_for_another_company(client: httpx.AsyncClient) -> None:
    reply = (await post(client)).json()["id"]
    assert (await client.get(f"/messages/{reply}", headers=headers("other"))).status_code == 404
    foreign = await client.post("/messages", json=BODY, headers=headers("other"))
    assert foreign.status_code == 404
    assert "PUT /connections/main" in foreign.json()["detail"]


@pytest.mark.parametrize(
    "wrong",
    [{"to": "11999999999"}, {"text": ""}, {"text": "\x00"}, {"connection": "No"}, {"seconds": 0}, {"x": 1}],
)
async def test_what_makes_no_sense_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert (await post(client, **wrong)).status_code == 422
