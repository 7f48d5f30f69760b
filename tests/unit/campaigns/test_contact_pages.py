"""Pages of contacts over HTTP, from a service that is well, away, or answers no."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.campaigns.adapters import contacts
from services.campaigns.adapters.contacts import HttpContactPages
from services.kit.auth import Tokens
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIST = "friends & 50 %/day"
PAGE = {"total": 1, "contacts": [{"id": str(uuid7()), "phone": "+5511999999999", "name": "Ana"}]}


class Service:
    """Answers with a status, and counts how often it was asked."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"]
        assert request.match_info["list"] == LIST
        assert request.query["limit"] == "10"
        self.asked += 1
        return web.json_response(PAGE, status=self.status)


@asynccontextmanager
async def pages(service: Service) -> AsyncIterator[HttpContactPages]:
    app = web.Application()
    app.router.add_get("/contacts/lists/{list}/contacts", service.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as client:
        yield HttpContactPages(client, str(server.make_url("")).rstrip("/"), Tokens("k" * 32))


async def ask(asked: HttpContactPages) -> None:
    await asked.page("acme", LIST, None, 10)


async def test_each_contact_has_a_new_message_id() -> None:
    async with pages(Service(200)) as asked:
        (total, [first]), (_, [second]) = [await asked.page("acme", LIST, None, 10) for _ in range(2)]
    assert (total, first.phone, first.contact_id) == (1, "+5511999999999", second.contact_id)
    assert first.message_id != second.message_id


async def test_a_service_in_trouble_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "ATTEMPTS", 1)
    service = Service(503)
    async with pages(service) as asked:
        for _ in range(20):
            with pytest.raises(TemporaryError):
                await ask(asked)
    assert service.asked == 5


async def test_a_list_that_is_not_there_is_no_trouble() -> None:
    service = Service(404)
    async with pages(service) as asked:
        for _ in range(20):
            with pytest.raises(NotFoundError):
                await ask(asked)
    assert service.asked == 20
