"""HTTP client of the contacts service against a healthy, a failing and a refusing server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.campaigns.adapters import contacts_client
from services.campaigns.adapters.contacts_client import HttpContactsClient
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.http.auth import JwtTokens
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIST = "friends & 50 %/day"
PAGE = {"total": 1, "contacts": [{"id": str(uuid7()), "phone": "+5511999999999", "name": "Ana"}]}


class ContactsService:
    """Responds with a fixed status, and counts the requests."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.requests = 0

    async def handle(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"]
        assert request.match_info["list"] == LIST
        assert request.query["limit"] == "10"
        self.requests += 1
        return web.json_response(PAGE, status=self.status)


@asynccontextmanager
async def client_of(service: ContactsService) -> AsyncIterator[HttpContactsClient]:
    app = web.Application()
    app.router.add_get("/contacts/lists/{list}/contacts", service.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield HttpContactsClient(session, str(server.make_url("")).rstrip("/"), JwtTokens("k" * 32))


async def test_each_contact_gets_a_new_message_id() -> None:
    async with client_of(ContactsService(200)) as client:
        (total, [first]), (_, [second]) = [await client.fetch_page("acme", LIST, None, 10) for _ in range(2)]
    assert (total, first.phone, first.contact_id) == (1, "+5511999999999", second.contact_id)
    assert first.message_id != second.message_id


async def test_circuit_breaker_opens_on_server_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_client, "MAX_ATTEMPTS", 1)
    service = ContactsService(503)
    async with client_of(service) as client:
        for _ in range(20):
            with pytest.raises(TemporaryError):
                await client.fetch_page("acme", LIST, None, 10)
    assert service.requests == 5


async def test_missing_list_does_not_open_the_circuit_breaker() -> None:
    service = ContactsService(404)
    async with client_of(service) as client:
        for _ in range(20):
            with pytest.raises(NotFoundError):
                await client.fetch_page("acme", LIST, None, 10)
    assert service.requests == 20
