"""HTTP client of the contacts service."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import aiohttp

from services.campaigns.domain.model import Recipient
from services.contracts.telemetry import Attribute
from services.kit.circuit_breaker import CircuitBreaker
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.http.client import open_http_client
from services.kit.ids import uuid7
from services.kit.observability import tracing
from services.kit.retry import retry_bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.campaigns.settings import ContactsClientSettings
    from services.kit.http.auth import JwtTokens

ATTEMPT_TIMEOUT_SECONDS = 5.0
MAX_ATTEMPTS = 4
TOTAL_TIMEOUT_SECONDS = 8.0
"""For all attempts together; shorter than the lease of a plan."""
MAX_CONCURRENT_CALLS = 8
"""Bulkhead size, far more than the planners of a process."""


class HttpContactsClient:
    """See `ports.ContactsClient`. A circuit breaker protects the service while it fails."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str, tokens: JwtTokens) -> None:
        self._client = client
        self._base_url = base_url
        self._server = urlsplit(base_url).hostname or ""
        self._tokens = tokens
        self._breaker = CircuitBreaker("contacts.page", max_concurrent=MAX_CONCURRENT_CALLS)

    async def fetch_page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """See `ports.ContactsClient.fetch_page`."""
        query = {"limit": str(limit)} | ({"after": str(after)} if after else {})
        url = f"{self._base_url}/contacts/lists/{quote(list_name, safe='')}/contacts"
        token = self._tokens.issue("campaigns", company, ("contacts:read",))
        page = await retry_bounded(
            lambda: self._get(url, query, token),
            max_attempts=MAX_ATTEMPTS,
            timeout_seconds=TOTAL_TIMEOUT_SECONDS,
        )
        recipients = [
            Recipient(uuid7(), UUID(contact["id"]), contact["phone"], contact["name"])
            for contact in page["contacts"]
        ]
        return int(page["total"]), recipients

    async def _get(self, url: str, query: dict[str, str], token: str) -> dict[str, Any]:
        """Send one request."""
        async with self._breaker.call():
            try:
                with tracing.client_span("GET", self._server) as span:
                    headers = {"Authorization": f"Bearer {token}", **tracing.trace_headers()}
                    async with self._client.get(url, params=query, headers=headers) as response:
                        span.set_attribute(Attribute.STATUS, response.status)
                        content = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise TemporaryError("the contacts service does not respond") from error
            if response.status == HTTPStatus.NOT_FOUND:
                raise NotFoundError("there is no such list")
            if response.status != HTTPStatus.OK:
                raise TemporaryError(f"the contacts service responded with status {response.status}")
        page: dict[str, Any] = json.loads(content)
        return page


@asynccontextmanager
async def open_contacts_client(
    settings: ContactsClientSettings, tokens: JwtTokens
) -> AsyncIterator[HttpContactsClient]:
    """Yield a client that is closed at the end of the block; it connects on demand.

    Args:
        settings: TLS files and the URL of the contacts service.
        tokens: issues the tokens of the requests.

    Yields:
        The client.
    """
    async with open_http_client(
        settings, timeout_seconds=ATTEMPT_TIMEOUT_SECONDS, max_connections=MAX_CONCURRENT_CALLS
    ) as client:
        yield HttpContactsClient(client, settings.contacts_url, tokens)
