"""Traffic through the edge, as a company's own system would make it: a contact imported, its lists read."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import httpx
import jwt

from chaos.traffic.timetable import Lane, Log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints

SECONDS = 2.0
TOKEN_SECONDS = 3600
_LIST = "chaos"
_FIRST = 119_6000_0000
"""Brazilian mobile numbers, counted up from here: any number is a valid one."""


class EdgeTraffic:
    """See `Client`."""

    passive: Sequence[Log] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        scope = "contacts:read contacts:write"
        claims = {"sub": "esq", "company": endpoints.run, "scope": scope, "exp": time.time() + TOKEN_SECONDS}
        token = jwt.encode(claims, endpoints.token_key, algorithm="HS256")
        self._http = httpx.AsyncClient(
            base_url=endpoints.edge,
            verify=ssl.create_default_context(cadata=endpoints.edge_authority),
            timeout=SECONDS,
            # An attempt that is given up may leave its place in a pool taken for ever: no such limit.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            headers={"Authorization": f"Bearer {token}"},
        )

    async def open(self) -> None:
        """See `Client`."""
        await self._write(0)

    def lanes(self) -> Sequence[Lane]:
        """See `Client`."""
        return (
            Lane(Log("edge.write"), self._write),
            Lane(Log("edge.read"), self._read),
        )

    async def history(self) -> Mapping[str, Sequence[int]]:
        """See `Client`; contacts have no order, so theirs is the order of the numbers."""
        found: list[int] = []
        after: str | None = ""
        while after is not None:
            query = {"limit": "1000"} | ({"after": after} if after else {})
            answer = (
                await self._http.get(f"/contacts/lists/{_LIST}/contacts", params=query)
            ).raise_for_status()
            page = answer.json()
            found += [int(each["phone"].removeprefix("+55")) - _FIRST for each in page["contacts"]]
            after = page["next"]
        return {"edge.write": sorted(found)}

    async def close(self) -> None:
        """See `Client`; the contacts stay with the company of this run."""
        await self._http.aclose()

    async def _write(self, sequence: int) -> None:
        body = f"name,phone\nChaos,{_FIRST + sequence}\n"
        headers = {"Content-Type": "text/csv"}
        answer = await self._http.post(
            "/contacts/imports", params={"list": _LIST}, content=body, headers=headers
        )
        answer.raise_for_status()

    async def _read(self, _: int) -> None:
        (await self._http.get("/contacts/lists")).raise_for_status()
