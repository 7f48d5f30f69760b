"""Traffic through Redis: keys written to whom the Sentinels call the primary, and read from it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from chaos.traffic.timetable import Lane, Log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints

SECONDS = 1.0
"""To connect, and for an answer."""
SENTINEL_SECONDS = 0.5
"""The same for each Sentinel, asked one after the other: two that are dead leave time for the third."""
KEEP_SECONDS = 3600


class RedisTraffic:
    """See `Client`."""

    passive: Sequence[Log] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._prefix = f"esq:chaos:{endpoints.run}:"
        where = endpoints.redis
        # The library reads the authority from a file only.
        self._folder = tempfile.TemporaryDirectory(prefix="esq-traffic-")
        authority = Path(self._folder.name) / "ca.crt"
        authority.write_text(endpoints.authority)
        common: dict[str, Any] = {
            "ssl": True,
            "ssl_ca_certs": str(authority),
            "socket_timeout": SECONDS,
            "socket_connect_timeout": SECONDS,
        }
        hosts = [tuple(each.rsplit(":", 1)) for each in where["sentinels"].split(",")]
        sentinels = Sentinel(  # type: ignore[no-untyped-call]  # the library types its methods only
            [(host, int(port)) for host, port in hosts],
            sentinel_kwargs={
                **common,
                "socket_timeout": SENTINEL_SECONDS,
                "socket_connect_timeout": SENTINEL_SECONDS,
                "retry": Retry(NoBackoff(), 0),
                "password": where["sentinel_password"],
            },
        )
        self._primary = sentinels.master_for(where["master"], password=where["password"], **common)

    async def open(self) -> None:
        """See `Client`."""
        await self._primary.ping()

    def lanes(self) -> Sequence[Lane]:
        """See `Client`."""
        return (Lane(Log("redis.write"), self._write), Lane(Log("redis.read"), self._read))

    async def history(self) -> Mapping[str, Sequence[int]]:
        """See `Client`; Redis keeps no order of keys, so theirs is the order of the numbers."""
        found = [key async for key in self._primary.scan_iter(match=f"{self._prefix}*", count=1000)]
        return {"redis.write": sorted(int(key.decode().rpartition(":")[2]) for key in found)}

    async def close(self) -> None:
        """See `Client`; what was written expires by itself."""
        await self._primary.aclose()
        self._folder.cleanup()

    async def _write(self, sequence: int) -> None:
        await self._primary.set(f"{self._prefix}{sequence}", 1, ex=KEEP_SECONDS)

    async def _read(self, sequence: int) -> None:
        await self._primary.get(f"{self._prefix}{max(0, sequence - 1)}")
