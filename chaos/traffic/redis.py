"""Traffic through Redis: writes and reads keys on the primary named by the Sentinels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from chaos.traffic.open_loop import StaleReadError, Stream, StreamLog
from chaos.traffic.read_check import AckedWrites, content, require_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints

REQUEST_TIMEOUT_SECONDS = 1.0
"""Timeout of a connect and of a response."""
SENTINEL_TIMEOUT_SECONDS = 0.5
"""The same for each Sentinel. They are queried in sequence: two failed ones leave time for the third."""
RETENTION_SECONDS = 3600


class RedisTraffic:
    """Client of Redis."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._run = endpoints.run_name
        self._prefix = f"esq:chaos:{endpoints.run_name}:"
        self._acked = AckedWrites()
        redis = endpoints.redis
        # The library reads the CA certificate only from a file.
        self._folder = tempfile.TemporaryDirectory(prefix="esq-traffic-")
        ca_file = Path(self._folder.name) / "ca.crt"
        ca_file.write_text(endpoints.ca_certificate)
        client_options: dict[str, Any] = {
            "ssl": True,
            "ssl_ca_certs": str(ca_file),
            "socket_timeout": REQUEST_TIMEOUT_SECONDS,
            "socket_connect_timeout": REQUEST_TIMEOUT_SECONDS,
            "username": redis["user"],
            "password": redis["password"],
        }
        hosts = [tuple(address.rsplit(":", 1)) for address in redis["sentinels"].split(",")]
        sentinels = Sentinel(  # type: ignore[no-untyped-call]  # the library types only its methods
            [(host, int(port)) for host, port in hosts],
            sentinel_kwargs={
                **client_options,
                "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
                "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
                "retry": Retry(NoBackoff(), 0),
            },
        )
        self._primary = sentinels.master_for(redis["master"], **client_options)

    async def open(self) -> None:
        """See `Client.open`."""
        await self._primary.ping()

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        return (Stream(StreamLog("redis.write"), self._write), Stream(StreamLog("redis.read"), self._read))

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`; Redis keys have no order, so they are sorted by number."""
        stored = []
        async for key in self._primary.scan_iter(match=f"{self._prefix}*", count=1000):
            sequence = int(key.decode().rpartition(":")[2])
            if await self._primary.get(key) == content(self._run, sequence).encode():
                stored.append(sequence)
        return {"redis.write": sorted(stored)}

    async def close(self) -> None:
        """See `Client.close`; keys that an interrupted run left expire after `RETENTION_SECONDS`."""
        async for key in self._primary.scan_iter(match=f"{self._prefix}*", count=1000):
            await self._primary.unlink(key)
        await self._primary.aclose()
        self._folder.cleanup()

    async def _write(self, sequence: int) -> None:
        value = content(self._run, sequence)
        await self._primary.set(f"{self._prefix}{sequence}", value, ex=RETENTION_SECONDS)
        self._acked.add(sequence)

    async def _read(self, sequence: int) -> None:
        chosen = self._acked.choose(sequence)
        key = f"{self._prefix}{chosen or 0}"
        value = await self._primary.get(key)
        if chosen is None:
            return
        if value is None:
            raise StaleReadError("an acknowledged key is missing")
        require_content(value, content(self._run, chosen).encode(), key)
