"""The contacts service over HTTP."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import aiohttp

from services.campaigns.domain import Recipient
from services.kit.breaker import Breaker
from services.kit.client import open_client
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.ids import uuid7
from services.kit.retry import bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.campaigns.settings import AskingSettings
    from services.kit.auth import Tokens

TIMEOUT_SECONDS = 5.0
"""For one attempt."""
ATTEMPTS = 4
RETRY_SECONDS = 8.0
"""All attempts together; shorter than a plan's lease."""
MOST_CALLS = 8
"""Under way at once, far more than planners of a process."""


class HttpContactPages:
    """See `ports.ContactPages`. While the service is in trouble its breaker spares it all but one call."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str, tokens: Tokens) -> None:
        self._client = client
        self._base = base_url
        self._tokens = tokens
        self._breaker = Breaker("contacts.page", most=MOST_CALLS)

    async def page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """See `ContactPages`."""
        query = {"limit": str(limit)} | ({"after": str(after)} if after else {})
        url = f"{self._base}/contacts/lists/{quote(list_name, safe='')}/contacts"
        token = self._tokens.issue("campaigns", company, ("contacts:read",))
        found = await bounded(lambda: self._get(url, query, token), attempts=ATTEMPTS, seconds=RETRY_SECONDS)
        recipients = [
            Recipient(uuid7(), UUID(one["id"]), one["phone"], one["name"]) for one in found["contacts"]
        ]
        return int(found["total"]), recipients

    async def _get(self, url: str, query: dict[str, str], token: str) -> dict[str, Any]:
        """Ask once."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._breaker.call():
            try:
                async with self._client.get(url, params=query, headers=headers) as answer:
                    content = await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise TemporaryError("the contacts service does not answer") from error
            if answer.status == HTTPStatus.NOT_FOUND:
                raise NotFoundError("there is no such list")
            if answer.status != HTTPStatus.OK:
                raise TemporaryError(f"the contacts service answered {answer.status}")
        found: dict[str, Any] = json.loads(content)
        return found


@asynccontextmanager
async def open_contact_pages(settings: AskingSettings, tokens: Tokens) -> AsyncIterator[HttpContactPages]:
    """Give a client for as long as the block lasts; connections are made when needed."""
    async with open_client(settings, seconds=TIMEOUT_SECONDS, connections=MOST_CALLS) as client:
        yield HttpContactPages(client, settings.contacts_url, tokens)
