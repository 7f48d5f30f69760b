"""The contacts service over HTTP."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import httpx

from services.campaigns.domain import Recipient
from services.kit.breaker import Breaker
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.ids import uuid7
from services.kit.retry import bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.campaigns.settings import AskingSettings
    from services.kit.auth import Tokens

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
ATTEMPTS = 4
RETRY_SECONDS = 8.0
"""All attempts together; shorter than a plan's lease."""
MOST_CALLS = 8
"""Under way at once, far more than planners of a process."""


class HttpContactPages:
    """See `ports.ContactPages`. While the service is in trouble its breaker spares it all but one call."""

    def __init__(self, client: httpx.AsyncClient, tokens: Tokens) -> None:
        self._client = client
        self._tokens = tokens
        self._breaker = Breaker("contacts.page", most=MOST_CALLS)

    async def page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """See `ContactPages`."""
        path = f"/contacts/lists/{quote(list_name, safe='')}/contacts"
        parameters: dict[str, str | int] = {"limit": limit} | ({"after": str(after)} if after else {})
        token = self._tokens.issue("campaigns", company, ("contacts:read",))
        found = await bounded(
            lambda: self._get(path, parameters, token), attempts=ATTEMPTS, seconds=RETRY_SECONDS
        )
        recipients = [
            Recipient(uuid7(), UUID(one["id"]), one["phone"], one["name"]) for one in found["contacts"]
        ]
        return int(found["total"]), recipients

    async def _get(self, path: str, parameters: dict[str, str | int], token: str) -> dict[str, Any]:
        """Ask once."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._breaker.call():
            try:
                answer = await self._client.get(path, params=parameters, headers=headers)
            except httpx.TransportError as error:
                raise TemporaryError("the contacts service does not answer") from error
            if answer.status_code == httpx.codes.NOT_FOUND:
                raise NotFoundError("there is no such list")
            if answer.status_code != httpx.codes.OK:
                raise TemporaryError(f"the contacts service answered {answer.status_code}")
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def open_contact_pages(settings: AskingSettings, tokens: Tokens) -> AsyncIterator[HttpContactPages]:
    """Give a client for as long as the block lasts; connections are made when needed."""
    verify = ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else True
    async with httpx.AsyncClient(
        base_url=settings.contacts_url, verify=verify, timeout=TIMEOUT, trust_env=False
    ) as client:
        yield HttpContactPages(client, tokens)
