"""Traffic through the edge, as from the system of a company: imports contacts and reads their list.

All runs import the same numbers of one company, each into a list of its own: contacts are never deleted
(their checksums verify backups), so that runs must not add to them without end. While there is no primary,
the service reads from a standby, which may lag: stale reads are counted, and are no failures.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import httpx
import jwt

from chaos.traffic.open_loop import CorruptReadError, Stream, StreamLog
from chaos.traffic.read_check import AckedWrites

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints

TOKEN_LIFETIME_SECONDS = 3600
_DEADLINE_MARGIN_SECONDS = 1.0
"""An attempt is cancelled this long after the timeout of its request."""
COMPANY = "chaos-traffic"
_PAGE_SIZE = 20
_MAX_LEFT_LISTS = 20
"""Limit of the lists of interrupted runs that a run deletes."""
_SCOPES = "contacts:read contacts:write"
_FIRST_NUMBER = 119_6000_0000
"""First of a range of Brazilian mobile numbers: every number of the range is valid."""


class EdgeTraffic:
    """Client of the public API."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._list = endpoints.run_name
        self._acked = AckedWrites()
        self._read_log = StreamLog("edge.read")
        self._after: str | None = None
        self._timeout_seconds = endpoints.edge_timeout_seconds
        self._http = httpx.AsyncClient(
            base_url=endpoints.edge_url,
            verify=ssl.create_default_context(cadata=endpoints.edge_ca_certificate or None),
            timeout=endpoints.edge_timeout_seconds,
            # A cancelled attempt may occupy its slot in a connection pool permanently: no limit.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )
        self.use_token_key(endpoints.token_key)

    def use_token_key(self, key: str) -> None:
        """See `TokenClient.use_token_key`."""
        expires_at = time.time() + TOKEN_LIFETIME_SECONDS
        claims = {"sub": "esq", "company": COMPANY, "scope": _SCOPES, "exp": expires_at}
        self._http.headers["Authorization"] = f"Bearer {jwt.encode(claims, key, algorithm='HS256')}"

    async def open(self) -> None:
        """See `Client.open`; deletes the lists that interrupted runs left."""
        response = await self._http.get("/contacts/lists", params={"limit": str(_MAX_LEFT_LISTS)})
        _require_success(response)
        for contact_list in response.json()["lists"]:
            if contact_list["name"] != self._list:
                await self._delete_list(contact_list["name"])
        await self._write(0)

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        deadline = self._timeout_seconds + _DEADLINE_MARGIN_SECONDS
        return (
            Stream(StreamLog("edge.write"), self._write, deadline=deadline),
            Stream(self._read_log, self._read, deadline=deadline),
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`; contacts have no order, so they are sorted by number."""
        numbers: list[int] = []
        after: str | None = ""
        while after is not None:
            query = {"limit": "1000"} | ({"after": after} if after else {})
            page = (await self._http.get(self._path, params=query)).raise_for_status().json()
            stored = map(_sequence, page["contacts"])
            numbers += [sequence for sequence in stored if sequence is not None]
            after = page["next"]
        return {"edge.write": sorted(numbers)}

    async def close(self) -> None:
        """See `Client.close`; contacts cannot be deleted, and are imported again by the next run."""
        await self._delete_list(self._list)
        await self._http.aclose()

    async def _delete_list(self, name: str) -> None:
        response = await self._http.delete(f"/contacts/lists/{name}")
        if response.status_code != httpx.codes.NOT_FOUND:
            _require_success(response)

    @property
    def _path(self) -> str:
        return f"/contacts/lists/{self._list}/contacts"

    async def _write(self, sequence: int) -> None:
        body = f"name,phone\n{_name(sequence)},{_FIRST_NUMBER + sequence}\n"
        headers = {"Content-Type": "text/csv"}
        response = await self._http.post(
            "/contacts/imports", params={"list": self._list}, content=body, headers=headers
        )
        _require_success(response)
        self._acked.add(sequence)

    async def _read(self, _: int) -> None:
        acked = len(self._acked)
        query = {"limit": str(_PAGE_SIZE)} | ({"after": self._after} if self._after else {})
        response = await self._http.get(self._path, params=query)
        _require_success(response)
        page = response.json()
        self._read_log.stale += page["total"] < acked
        for contact in page["contacts"]:
            if _sequence(contact) is None:
                raise CorruptReadError(f"a contact has another content than was written: {contact}")
        self._after = page["next"]


def _name(sequence: int) -> str:
    return f"Chaos {sequence}"


def _sequence(contact: Mapping[str, str]) -> int | None:
    """Return the number of the write that imported a contact; None if no write imports name and number."""
    phone = contact["phone"].removeprefix("+55")
    sequence = int(phone) - _FIRST_NUMBER if phone.isdecimal() else -1
    return sequence if sequence >= 0 and contact["name"] == _name(sequence) else None


class RejectedError(Exception):
    """The edge or a service answered with an error; the text distinguishes them."""


def _require_success(response: httpx.Response) -> None:
    if not response.is_success:
        raise RejectedError(f"{response.status_code} {' '.join(response.text.split())}")
