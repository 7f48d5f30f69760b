"""Contacts API on an in-memory store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from services.contacts.bootstrap import build_app
from services.contacts.domain.csv_import import LINES_PER_BATCH
from services.contacts.fakes import FakeContactRepository
from services.contacts.settings import ApiSettings
from services.kit.errors import TemporaryError
from services.kit.http import retrying_route
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.contacts.commands import ImportBatch

KEY = "k" * 32
FILE = "nome;telefone\nAna;11987654321\nBia;(11) 98765-4322\nAna de novo;+5511987654321\nNinguém;12\n"
SETTINGS = ApiSettings(database_url=SecretStr("unused"), token_keys=(SecretStr(KEY),), import_bytes=100_000)


def bearer(company: str = "acme", *scopes: str) -> dict[str, str]:
    token = JwtTokens(KEY).issue("tester", company, scopes or ("contacts:read", "contacts:write"))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(SETTINGS, Health(), FakeContactRepository())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://contacts") as client:
        yield client


async def import_file(client: httpx.AsyncClient, file: str | bytes, company: str = "acme") -> httpx.Response:
    return await client.post(
        "/contacts/imports", params={"list": "friends"}, content=file, headers=bearer(company)
    )


async def test_import_returns_counts_and_rejected_rows(client: httpx.AsyncClient) -> None:
    response = await import_file(client, FILE)
    assert response.status_code == 201
    body = response.json()
    assert (body["list"], body["accepted"], body["duplicates"], body["rejected_total"]) == (
        "friends",
        2,
        1,
        1,
    )
    assert body["rejected"] == [{"line": 5, "reason": "not a phone number: too short or too long"}]
    repeated = (await import_file(client, FILE)).json()
    assert (repeated["accepted"], repeated["duplicates"]) == (0, 3)


class UnavailableAtBatch(FakeContactRepository):
    """Fails once, at the given batch."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.calls = number, 0

    async def add_batch(self, batch: ImportBatch) -> int:
        self.calls += 1
        if self.calls == self.number:
            raise TemporaryError("the database is not available")
        return await super().add_batch(batch)


@pytest.mark.parametrize(
    ("batch", "status", "calls"), [(1, 201, 3), (2, 503, 2)], ids=["nothing stored", "first batch stored"]
)
async def test_import_is_retried_only_while_nothing_is_stored(
    batch: int, status: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry would report the stored contacts as duplicates."""
    monkeypatch.setattr(retrying_route, "RETRY_INTERVAL_SECONDS", 0)
    contacts = UnavailableAtBatch(batch)
    file = "phone\n" + "".join(f"1198765{number:04d}\n" for number in range(LINES_PER_BATCH + 1))
    transport = httpx.ASGITransport(build_app(SETTINGS, Health(), contacts))
    async with httpx.AsyncClient(transport=transport, base_url="http://contacts") as client:
        response = await import_file(client, file)
    assert (response.status_code, contacts.calls) == (status, calls)
    assert response.json().get("duplicates", 0) == 0


async def test_pages_return_each_contact_once(client: httpx.AsyncClient) -> None:
    await import_file(client, "phone\n" + "".join(f"119876543{number:02d}\n" for number in range(7)))
    phones, after = [], {}
    while True:
        page = await client.get(
            "/contacts/lists/friends/contacts", params={"limit": 3, **after}, headers=bearer()
        )
        assert page.json()["total"] == 7
        phones += [contact["phone"] for contact in page.json()["contacts"]]
        if page.json()["next"] is None:
            break
        after = {"after": page.json()["next"]}
    assert len(phones) == len(set(phones)) == 7


async def test_companies_are_isolated(client: httpx.AsyncClient) -> None:
    await import_file(client, FILE)
    response = await client.get("/contacts/lists/friends/contacts", headers=bearer("other"))
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert (await client.get("/contacts/lists", headers=bearer("other"))).json() == {
        "lists": [],
        "next": None,
    }
    lists = (await client.get("/contacts/lists", headers=bearer())).json()["lists"]
    assert lists == [{"name": "friends", "member_count": 2}]


async def test_missing_token_returns_401_and_missing_scope_403(client: httpx.AsyncClient) -> None:
    assert (await client.get("/contacts/lists")).status_code == 401
    assert (await client.get("/contacts/lists", headers={"Authorization": "Bearer x.y.z"})).status_code == 401
    assert (await client.get("/contacts/lists", headers=bearer("acme", "contacts:write"))).status_code == 403


@pytest.mark.parametrize("file", [b"", b"a,b\n", "número\n".encode("latin-1"), b"\xff\xfep\x00h\x00"])
async def test_invalid_file_returns_422(client: httpx.AsyncClient, file: bytes) -> None:
    response = await import_file(client, file)
    assert (response.status_code, response.json()["status"]) == (422, 422)


async def test_file_over_the_size_limit_returns_413(client: httpx.AsyncClient) -> None:
    assert (await import_file(client, b"phone\n" + b"x" * 100_000)).status_code == 413

    async def without_content_length() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"phone\n" * 1000

    response = await client.post(
        "/contacts/imports", params={"list": "friends"}, content=without_content_length(), headers=bearer()
    )
    assert response.status_code == 413


async def test_openapi_document_contains_all_paths(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/contacts/imports",
        "/contacts/lists",
        "/contacts/lists/{name}",
        "/contacts/lists/{name}/contacts",
    }
    assert "text/csv" in document["paths"]["/contacts/imports"]["post"]["requestBody"]["content"]


async def test_deleted_list_is_gone_and_its_contacts_stay(client: httpx.AsyncClient) -> None:
    await import_file(client, FILE)
    path = "/contacts/lists/friends"
    assert (await client.delete(path, headers=bearer("globex"))).status_code == 404
    assert (await client.delete(path, headers=bearer("acme", "contacts:read"))).status_code == 403
    assert (await client.delete(path, headers=bearer())).status_code == 204
    assert (await client.delete(path, headers=bearer())).status_code == 404
    assert (await client.get(f"{path}/contacts", headers=bearer())).status_code == 404
    assert (await client.get("/contacts/lists", headers=bearer())).json()["lists"] == []
    assert (await import_file(client, FILE)).json()["accepted"] == 2
