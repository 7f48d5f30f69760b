"""The addresses of the service over the fake store: what they take, refuse and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from services.campaigns.adapters.memory import FakeUnits
from services.campaigns.bootstrap import build_app
from services.campaigns.settings import ApiSettings
from services.kit.auth import Tokens
from services.kit.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "k" * 32
BODY = {"name": "Welcome", "list": "friends", "text": "Oi {name}!", "connection": "main"}
WINDOW = {"zone": "America/Sao_Paulo", "days": [0, 1, 2, 3, 4], "from": "09:00", "to": "18:00"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = ApiSettings(database_url=SecretStr("postgresql://u@h/d"), token_key=SecretStr(KEY))
    transport = httpx.ASGITransport(build_app(settings, Health(), FakeUnits()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as opened:
        yield opened


def headers(*scopes: str, company: str = "acme", key: str = "key-0001") -> dict[str, str]:
    token = Tokens(KEY).issue("test", company, scopes or ("campaigns:read", "campaigns:write"))
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}


async def create(client: httpx.AsyncClient, key: str = "key-0001", **more: Any) -> httpx.Response:
    return await client.post("/campaigns", json=BODY | more, headers=headers(key=key))


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "planning"),
        ({"start": False}, "draft"),
        ({"at": "2126-03-01T12:00:00-03:00", "missed": "ask"}, "scheduled"),
        ({"window": WINDOW}, "waiting"),
        ({"at": "2126-03-01T12:00:00Z", "window": WINDOW, "expires_at": "2126-03-05T12:00:00Z"}, "scheduled"),
        ({"variations": ["Hi {name} of {shop}"], "variables": {"shop": "Acme"}}, "planning"),
    ],
)
async def test_a_campaign_begins_as_it_is_asked(
    client: httpx.AsyncClient, more: dict[str, Any], state: str
) -> None:
    made = await create(client, **more)
    assert made.status_code == 202
    found = (await client.get(f"/campaigns/{made.json()['id']}", headers=headers())).json()
    assert (found["state"], found["run"], found["counts"]) == (state, 0, {})
    assert (await create(client, **more)).json() == made.json(), "the same key makes one campaign"
    assert (await create(client, **more | {"name": "Other"})).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "2126-03-01T12:00:00"},
        {"at": "2126-03-01T12:00:00Z", "start": False},
        {"missed": "late"},
        {"window": WINDOW | {"zone": "Mars/Olympus"}},
        {"window": WINDOW | {"days": [7]}},
        {"at": "2126-03-01T12:00:00Z", "expires_at": "2126-03-01T11:00:00Z"},
        {"variables": {"shop": "Acme"}},
        {"variables": {"Shop!": "Acme"}},
        {"variations": ["{nobody}"]},
        {"name": "a\x00b"},
        {"company": "other"},
    ],
)
async def test_what_makes_no_sense_is_refused_and_makes_nothing(
    client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    assert (await create(client, **wrong)).status_code == 422
    listed = await client.get("/campaigns", headers=headers())
    assert listed.json() == {"campaigns": [], "next": None}


async def test_a_campaign_is_listed_cloned_acted_on_and_exported(client: httpx.AsyncClient) -> None:
    made = (await create(client)).json()["id"]
    cloned = await client.post(f"/campaigns/{made}/clone", headers=headers(key="key-0002"))
    assert cloned.status_code == 201
    page = (await client.get("/campaigns", params={"limit": 1}, headers=headers())).json()
    assert [each["state"] for each in page["campaigns"]] == ["draft"]
    rest = await client.get("/campaigns", params={"before": page["next"]}, headers=headers())
    assert [each["id"] for each in rest.json()["campaigns"]] == [made]
    paused = await client.post(f"/campaigns/{made}/pause", headers=headers())
    assert paused.json()["state"] == "paused"
    refused = await client.post(f"/campaigns/{cloned.json()['id']}/pause", headers=headers())
    assert (refused.status_code, "start or cancel" in refused.json()["detail"]) == (409, True)
    assert (await client.post(f"/campaigns/{made}/explode", headers=headers())).status_code == 422
    results = await client.get(f"/campaigns/{made}/results.csv", headers=headers())
    assert (results.headers["content-type"], results.text) == (
        "text/csv; charset=utf-8",
        "message,contact,state,since\r\n",
    )


async def test_scopes_and_companies_are_held_apart(client: httpx.AsyncClient) -> None:
    made = (await create(client)).json()["id"]
    reader, other = headers("campaigns:read"), headers(company="other")
    for path in ("pause", "clone"):
        assert (await client.post(f"/campaigns/{made}/{path}", headers=reader)).status_code == 403
        assert (await client.post(f"/campaigns/{made}/{path}", headers=other)).status_code == 404
    assert (await client.get(f"/campaigns/{made}/results.csv", headers=other)).status_code == 404
    assert (await client.get("/campaigns", headers=other)).json()["campaigns"] == []
