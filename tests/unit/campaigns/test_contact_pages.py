"""Pages of contacts over HTTP, from a service that is well, away, or answers no."""

from __future__ import annotations

import httpx
import pytest

from services.campaigns.adapters import contacts
from services.campaigns.adapters.contacts import HttpContactPages
from services.kit.auth import Tokens
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.ids import uuid7

PAGE = {"total": 1, "contacts": [{"id": str(uuid7()), "phone": "+5511999999999", "name": "Ana"}]}


class Service:
    """Answers with a status, and counts how often it was asked."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"]
        self.asked += 1
        return httpx.Response(self.status, json=PAGE)


def pages(service: Service) -> HttpContactPages:
    client = httpx.AsyncClient(transport=httpx.MockTransport(service), base_url="http://contacts")
    return HttpContactPages(client, Tokens("k" * 32))


async def ask(asked: HttpContactPages) -> None:
    await asked.page("acme", "friends", None, 10)


async def test_each_contact_has_a_new_message_id() -> None:
    asked = pages(Service(200))
    (total, [first]), (_, [second]) = [await asked.page("acme", "friends", None, 10) for _ in range(2)]
    assert (total, first.phone, first.contact_id) == (1, "+5511999999999", second.contact_id)
    assert first.message_id != second.message_id


async def test_a_service_in_trouble_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "ATTEMPTS", 1)
    service = Service(503)
    asked = pages(service)
    for _ in range(20):
        with pytest.raises(TemporaryError):
            await ask(asked)
    assert service.asked == 5


async def test_a_list_that_is_not_there_is_no_trouble() -> None:
    service = Service(404)
    asked = pages(service)
    for _ in range(20):
        with pytest.raises(NotFoundError):
            await ask(asked)
    assert service.asked == 20
