"""Campaigns API on the fake store: accepted and rejected requests, and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from services.campaigns.bootstrap import build_app
from services.campaigns.fakes import FakeUnitOfWorkFactory
from services.campaigns.settings import ApiSettings
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "k" * 32
BODY = {"name": "Welcome", "list": "friends", "text": "Oi {name}!", "connection": "main"}
WINDOW = {"time_zone": "America/Sao_Paulo", "days": [0, 1, 2, 3, 4], "starts": "09:00", "ends": "18:00"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    settings = ApiSettings(database_url=SecretStr("postgresql://u@h/d"), token_keys=(SecretStr(KEY),))
    transport = httpx.ASGITransport(build_app(settings, Health(), FakeUnitOfWorkFactory()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as opened:
        yield opened


def headers(*scopes: str, company: str = "acme", key: str = "key-0001") -> dict[str, str]:
    token = JwtTokens(KEY).issue("test", company, scopes or ("campaigns:read", "campaigns:write"))
    return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}


async def create(client: httpx.AsyncClient, key: str = "key-0001", **fields: Any) -> httpx.Response:
    return await client.post("/campaigns", json=BODY | fields, headers=headers(key=key))


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "planning"),
        ({"start": False}, "draft"),
        (
            {"start_at": "2126-03-01T12:00:00-03:00", "missed_start_policy": "revert_to_draft"},
            "scheduled",
        ),
        ({"window": WINDOW}, "waiting"),
        (
            {
                "start_at": "2126-03-01T12:00:00Z",
                "window": WINDOW,
                "expires_at": "2126-03-05T12:00:00Z",
            },
            "scheduled",
        ),
        ({"text_variants": ["Hi {name} of {shop}"], "variables": {"shop": "Acme"}}, "planning"),
    ],
)
async def test_initial_state_follows_from_the_body(
    client: httpx.AsyncClient, fields: dict[str, Any], state: str
) -> None:
    created = await create(client, **fields)
    assert created.status_code == 202
    campaign = (await client.get(f"/campaigns/{created.json()['id']}", headers=headers())).json()
    assert (campaign["state"], campaign["run"], campaign["counts"]) == (state, 0, {})
    assert (await create(client, **fields)).json() == created.json(), "the same key creates one campaign"
    assert (await create(client, **fields | {"name": "Other"})).status_code == 409


@pytest.mark.parametrize(
    "fields",
    [
        {"start_at": "2126-03-01T12:00:00"},
        {"start_at": "2126-03-01T12:00:00Z", "start": False},
        {"missed_start_policy": "start_late"},
        {"window": WINDOW | {"time_zone": "Mars/Olympus"}},
        {"window": WINDOW | {"days": [7]}},
        {"start_at": "2126-03-01T12:00:00Z", "expires_at": "2126-03-01T11:00:00Z"},
        {"variables": {"shop": "Acme"}},
        {"variables": {"Shop!": "Acme"}},
        {"text_variants": ["{nobody}"]},
        {"name": "a\x00b"},
        {"company": "other"},
    ],
)
async def test_invalid_body_returns_422_and_creates_nothing(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    assert (await create(client, **fields)).status_code == 422
    campaigns = await client.get("/campaigns", headers=headers())
    assert campaigns.json() == {"campaigns": [], "next": None}


async def test_campaign_is_listed_cloned_paused_and_exported(client: httpx.AsyncClient) -> None:
    campaign_id = (await create(client)).json()["id"]
    cloned = await client.post(f"/campaigns/{campaign_id}/clone", headers=headers(key="key-0002"))
    assert cloned.status_code == 201
    page = (await client.get("/campaigns", params={"limit": 1}, headers=headers())).json()
    assert [campaign["state"] for campaign in page["campaigns"]] == ["draft"]
    rest = await client.get("/campaigns", params={"before": page["next"]}, headers=headers())
    assert [campaign["id"] for campaign in rest.json()["campaigns"]] == [campaign_id]
    paused = await client.post(f"/campaigns/{campaign_id}/pause", headers=headers())
    assert paused.json()["state"] == "paused"
    refused = await client.post(f"/campaigns/{cloned.json()['id']}/pause", headers=headers())
    assert (refused.status_code, "start or cancel" in refused.json()["detail"]) == (409, True)
    assert (await client.post(f"/campaigns/{campaign_id}/explode", headers=headers())).status_code == 422
    results = await client.get(f"/campaigns/{campaign_id}/results.csv", headers=headers())
    assert (results.headers["content-type"], results.text) == (
        "text/csv; charset=utf-8",
        "message_id,contact_id,state,state_changed_at\r\n",
    )


async def test_missing_scope_returns_403_and_other_company_404(client: httpx.AsyncClient) -> None:
    campaign_id = (await create(client)).json()["id"]
    reader, other = headers("campaigns:read"), headers(company="other")
    for path in ("pause", "clone"):
        assert (await client.post(f"/campaigns/{campaign_id}/{path}", headers=reader)).status_code == 403
        assert (await client.post(f"/campaigns/{campaign_id}/{path}", headers=other)).status_code == 404
    assert (await client.get(f"/campaigns/{campaign_id}/results.csv", headers=other)).status_code == 404
    assert (await client.get("/campaigns", headers=other)).json()["campaigns"] == []
