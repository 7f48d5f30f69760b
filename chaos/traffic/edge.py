"""Traffic through the edge, as from the system of a company: imports contacts and reads lists."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import httpx
import jwt

from chaos.traffic.open_loop import Stream, StreamLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints

TOKEN_LIFETIME_SECONDS = 3600
_DEADLINE_MARGIN_SECONDS = 1.0
"""An attempt is cancelled this long after the timeout of its request."""
_LIST = "chaos"
_SCOPES = "contacts:read contacts:write"
_FIRST_NUMBER = 119_6000_0000
"""First of a range of Brazilian mobile numbers: every number of the range is valid."""


class EdgeTraffic:
    """Client of the public API."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._company = endpoints.run_name
        self._timeout_seconds = endpoints.edge_timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=endpoints.edge_url,
            verify=ssl.create_default_context(cadata=endpoints.edge_ca_certificate),
            timeout=endpoints.edge_timeout_seconds,
            # A cancelled attempt may occupy its slot in a connection pool permanently: no limit.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )
        self.use_token_key(endpoints.token_key)

    def use_token_key(self, key: str) -> None:
        """See `TokenClient.use_token_key`."""
        expires_at = time.time() + TOKEN_LIFETIME_SECONDS
        claims = {"sub": "esq", "company": self._company, "scope": _SCOPES, "exp": expires_at}
        self._http.headers["Authorization"] = f"Bearer {jwt.encode(claims, key, algorithm='HS256')}"

    async def open(self) -> None:
        """See `Client.open`."""
        await self._write(0)

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        deadline = self._timeout_seconds + _DEADLINE_MARGIN_SECONDS
        return (
            Stream(StreamLog("edge.write"), self._write, deadline=deadline),
            Stream(StreamLog("edge.read"), self._read, deadline=deadline),
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`; contacts have no order, so they are sorted by number."""
        numbers: list[int] = []
        after: str | None = ""
        while after is not None:
            query = {"limit": "1000"} | ({"after": after} if after else {})
            response = (
                await self._http.get(f"/contacts/lists/{_LIST}/contacts", params=query)
            ).raise_for_status()
            page = response.json()
            numbers += [
                int(contact["phone"].removeprefix("+55")) - _FIRST_NUMBER for contact in page["contacts"]
            ]
            after = page["next"]
        return {"edge.write": sorted(numbers)}

    async def close(self) -> None:
        """See `Client.close`; the contacts of the run's company are not deleted."""
        await self._http.aclose()

    async def _write(self, sequence: int) -> None:
        body = f"name,phone\nChaos,{_FIRST_NUMBER + sequence}\n"
        headers = {"Content-Type": "text/csv"}
        response = await self._http.post(
            "/contacts/imports", params={"list": _LIST}, content=body, headers=headers
        )
        _require_success(response)

    async def _read(self, _: int) -> None:
        _require_success(await self._http.get("/contacts/lists"))


class RejectedError(Exception):
    """The edge or a service answered with an error; the text distinguishes them."""


def _require_success(response: httpx.Response) -> None:
    if not response.is_success:
        raise RejectedError(f"{response.status_code} {' '.join(response.text.split())}")
