"""Traffic through Postgres: rows into a table of its own, reads of the newest, on the primary's address.

Connections are kept while they are good; one whose statement failed or timed out is thrown away, since the
server behind it may be gone. A statement that timed out may have been done: it counts as not acknowledged.
One connection is opened at a time: handshakes that are given up half-way would keep a new primary busy, and
the traffic would measure itself.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from chaos.traffic.timetable import Lane, Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chaos.traffic.client import Endpoints

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 2.0
_TABLE = """
CREATE SCHEMA IF NOT EXISTS esq_chaos;
CREATE TABLE IF NOT EXISTS esq_chaos.writes (
    run text NOT NULL, sequence int NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (run, sequence))
"""


class PostgresTraffic:
    """See `Client`."""

    passive: Sequence[Log] = ()

    def __init__(self, endpoints: Endpoints) -> None:
        self._run = endpoints.run
        self._where = endpoints.postgres
        self._context = ssl.create_default_context(cadata=endpoints.authority)
        self._free: list[asyncpg.Connection] = []
        self._turn = asyncio.Lock()
        self._opening: asyncio.Task[asyncpg.Connection] | None = None

    async def open(self) -> None:
        """See `Client`."""
        async with self._connection() as connection:
            await connection.execute(_TABLE)

    def lanes(self) -> Sequence[Lane]:
        """See `Client`."""
        return (Lane(Log("postgres.write"), self._write), Lane(Log("postgres.read"), self._read))

    async def history(self) -> Mapping[str, Sequence[int]]:
        """See `Client`."""
        query = "SELECT sequence FROM esq_chaos.writes WHERE run = $1 ORDER BY id"
        async with self._connection() as connection:
            return {"postgres.write": [row["sequence"] for row in await connection.fetch(query, self._run)]}

    async def close(self) -> None:
        """See `Client`."""
        async with self._connection() as connection:
            await connection.execute("DELETE FROM esq_chaos.writes WHERE run = $1", self._run)
        for connection in self._free:
            connection.terminate()

    async def _write(self, sequence: int) -> None:
        statement = "INSERT INTO esq_chaos.writes (run, sequence) VALUES ($1, $2)"
        async with self._connection() as connection:
            await connection.execute(statement, self._run, sequence)

    async def _read(self, _: int) -> None:
        async with self._connection() as connection:
            await connection.fetchval("SELECT max(sequence) FROM esq_chaos.writes WHERE run = $1", self._run)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = self._free.pop() if self._free else await self._next()
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        self._free.append(connection)

    async def _next(self) -> asyncpg.Connection:
        """Wait for a connection that is given back or opened; one that is given up is left to the next."""
        async with self._turn:
            if self._free:
                return self._free.pop()
            if self._opening is None or (self._opening.done() and self._opening.exception()):
                self._opening = asyncio.create_task(self._connect())
            connection = await asyncio.shield(self._opening)
            self._opening = None
            return connection

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=self._where["host"],
            port=int(self._where["port"]),
            user=self._where["user"],
            password=self._where["password"],
            database=self._where["database"],
            ssl=self._context,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            target_session_attrs="read-write",
            # Statements that were prepared on one primary are nothing to the next.
            statement_cache_size=0,
        )
