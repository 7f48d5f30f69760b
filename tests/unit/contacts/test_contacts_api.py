"""The contacts API on a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from services.contacts.adapters.memory import FakeContacts
from services.contacts.bootstrap import build_app
from services.contacts.settings import Settings
from services.kit.auth import Tokens
from services.kit.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "k" * 32
FILE = "nome;telefone\nAna;11987654321\nBia;(11) 98765-4322\nAna de novo;+5511987654321\nNinguém;12\n"
SETTINGS = Settings(database_url=SecretStr("unused"), token_key=SecretStr(KEY), import_bytes=100_000)


def bearer(company: str = "acme", *scopes: str) -> dict[str, str]:
    token = Tokens(KEY).issue("tester", company, scopes or ("contacts:read", "contacts:write"))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(SETTINGS, Health(), FakeContacts())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://contacts") as client:
        yield client


async def send(client: httpx.AsyncClient, file: str | bytes, company: str = "acme") -> httpx.Response:
    return await client.post(
        "/contacts/imports", params={"list": "friends"}, content=file, headers=bearer(company)
    )


async def test_a_file_is_imported_and_told_about(client: httpx.AsyncClient) -> None:
    answer = await send(client, FILE)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["list"], told["accepted"], told["duplicates"], told["rejected_total"]) == (
        "friends",
        2,
        1,
        1,
    )
    assert told["rejected"] == [{"line": 5, "reason": "not a phone number: too short or too long"}]
    again = (await send(client, FILE)).json()
    assert (again["accepted"], again["duplicates"]) == (0, 3)


async def test_pages_go_through_the_list_once(client: httpx.AsyncClient) -> None:
    await send(client, "phone\n" + "".join(f"119876543{number:02d}\n" for number in range(7)))
    seen, after = [], {}
    while True:
        page = await client.get(
            "/contacts/lists/friends/contacts", params={"limit": 3, **after}, headers=bearer()
        )
        assert page.json()["total"] == 7
        seen += [one["phone"] for one in page.json()["contacts"]]
        if page.json()["next"] is None:
            break
        after = {"after": page.json()["next"]}
    assert len(seen) == len(set(seen)) == 7


async def test_companies_are_apart(client: httpx.AsyncClient) -> None:
    await send(client, FILE)
    answer = await client.get("/contacts/lists/friends/contacts", headers=bearer("other"))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await client.get("/contacts/lists", headers=bearer("other"))).json() == {
        "lists": [],
        "next": None,
    }
    lists = (await client.get("/contacts/lists", headers=bearer())).json()["lists"]
    assert lists == [{"name": "friends", "contacts": 2}]


async def test_tokens_decide(client: httpx.AsyncClient) -> None:
    assert (await client.get("/contacts/lists")).status_code == 401
    assert (await client.get("/contacts/lists", headers={"Authorization": "Bearer x.y.z"})).status_code == 401
    assert (await client.get("/contacts/lists", headers=bearer("acme", "contacts:write"))).status_code == 403


@pytest.mark.parametrize("file", [b"", b"a,b\n", "número\n".encode("latin-1"), b"\xff\xfep\x00h\x00"])
async def test_files_that_are_none_are_refused(client: httpx.AsyncClient, file: bytes) -> None:
    answer = await send(client, file)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)


async def test_files_beyond_the_limit_are_refused(client: httpx.AsyncClient) -> None:
    assert (await send(client, b"phone\n" + b"x" * 100_000)).status_code == 413

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"phone\n" * 1000

    answer = await client.post(
        "/contacts/imports", params={"list": "friends"}, content=unannounced(), headers=bearer()
    )
    assert answer.status_code == 413


async def test_the_document_describes_the_addresses(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/contacts/imports",
        "/contacts/lists",
        "/contacts/lists/{name}/contacts",
    }
    assert "text/csv" in document["paths"]["/contacts/imports"]["post"]["requestBody"]["content"]
