"""Traffic through Postgres: writes rows to the table of its account and reads the newest one, on the primary.

Connections are reused. A connection whose statement failed or timed out is closed, because its server may be
gone. A statement that timed out may have been committed: it counts as not acknowledged. Only one connection
is opened at a time: handshakes that are cancelled half-way would load a new primary, and the traffic would
measure itself.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from chaos.traffic.open_loop import Stream, StreamLog
from chaos.traffic.read_check import AckedWrites, MonotonicReads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chaos.traffic.client import Endpoints

CONNECT_TIMEOUT_SECONDS = 3.0
STATEMENT_TIMEOUT_SECONDS = 2.0


class PostgresTraffic:
    """Client of Postgres."""

    passive: Sequence[StreamLog] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._run = endpoints.run_name
        self._endpoint = endpoints.postgres
        self._context = ssl.create_default_context(cadata=endpoints.ca_certificate)
        self._free_pg_connections: list[asyncpg.Connection] = []
        self._acked, self._reads = AckedWrites(), MonotonicReads()
        self._opening_lock = asyncio.Lock()
        self._opening: asyncio.Task[asyncpg.Connection] | None = None

    async def open(self) -> None:
        """See `Client.open`."""
        async with self._pg_connection() as pg_connection:
            await pg_connection.execute("DELETE FROM esq_chaos.writes WHERE run <> $1", self._run)

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        return (
            Stream(StreamLog("postgres.write"), self._write),
            Stream(StreamLog("postgres.read"), self._read),
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`."""
        query = "SELECT sequence FROM esq_chaos.writes WHERE run = $1 ORDER BY id"
        async with self._pg_connection() as pg_connection:
            return {
                "postgres.write": [row["sequence"] for row in await pg_connection.fetch(query, self._run)]
            }

    async def close(self) -> None:
        """See `Client.close`."""
        async with self._pg_connection() as pg_connection:
            await pg_connection.execute("DELETE FROM esq_chaos.writes WHERE run = $1", self._run)
        for pg_connection in self._free_pg_connections:
            pg_connection.terminate()

    async def _write(self, sequence: int) -> None:
        statement = "INSERT INTO esq_chaos.writes (run, sequence) VALUES ($1, $2)"
        async with self._pg_connection() as pg_connection:
            await pg_connection.execute(statement, self._run, sequence)
        self._acked.add(sequence)

    async def _read(self, _: int) -> None:
        floor = self._reads.floor(self._acked.newest)
        query = "SELECT coalesce(max(sequence), -1) FROM esq_chaos.writes WHERE run = $1"
        async with self._pg_connection() as pg_connection:
            version = await pg_connection.fetchval(query, self._run)
        self._reads.check(version, floor)

    @asynccontextmanager
    async def _pg_connection(self) -> AsyncIterator[asyncpg.Connection]:
        pg_connection = (
            self._free_pg_connections.pop()
            if self._free_pg_connections
            else await self._wait_for_pg_connection()
        )
        try:
            yield pg_connection
        except BaseException:
            pg_connection.terminate()
            raise
        self._free_pg_connections.append(pg_connection)

    async def _wait_for_pg_connection(self) -> asyncpg.Connection:
        """Wait for a returned or new connection; the next caller gets that of a cancelled caller."""
        async with self._opening_lock:
            if self._free_pg_connections:
                return self._free_pg_connections.pop()
            if self._opening is None or (self._opening.done() and self._opening.exception()):
                self._opening = asyncio.create_task(self._connect())
            pg_connection = await asyncio.shield(self._opening)
            self._opening = None
            return pg_connection

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=self._endpoint["host"],
            port=int(self._endpoint["port"]),
            user=self._endpoint["user"],
            password=self._endpoint["password"],
            database=self._endpoint["database"],
            ssl=self._context,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=STATEMENT_TIMEOUT_SECONDS,
            target_session_attrs="read-write",
            # Statements prepared on one primary do not exist on the next.
            statement_cache_size=0,
        )
