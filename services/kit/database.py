"""Postgres: an engine that survives failovers, and units of work that write nothing unless committed.

A connection is used only if it answered lately and leads to a server that takes writes; one that timed out is
thrown away with all its like, since the server behind it may be gone. Whatever may pass by itself is a
`TemporaryError`.

What only reads goes on while there is no primary: from a standby, which may be a little behind.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import asyncpg
from asyncpg.exceptions import TargetServerAttributeNotMatched
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from services.kit.connector import Connector
from services.kit.errors import TemporaryError
from services.kit.guards import REFUSED, UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy import Row, TextClause
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import QueuePool

    from services.kit.settings import DatabaseSettings, ProcessSettings

PING_AFTER_SECONDS = 1.0
PING_SECONDS = 2.0
_PING = text("SELECT 1")
READ_SECONDS = 3.0
"""For a unit that only reads: pages are small, and who reads waits for them."""
AWAY_SECONDS = 2.0
"""After the primary failed a reader, others are spared the same wait for this long."""
IDLE_TRANSACTION_SECONDS = 15.0
"""The server ends a transaction whose client is silent for so long: it frees the claims of a lost zone."""
DEAD_PEER_SECONDS = 10
"""Unanswered bytes end a connection after this (TCP_USER_TIMEOUT)."""
_PASSING = ("08", "40", "53", "55P03", "57", "25006")
"""SQLSTATE prefixes that pass: connection, serialisation, resources, locks, shutdown, read-only server."""
_LOST = ("08", "57P", "25006")


def _as_the_driver_said(error: BaseException) -> BaseException:
    """Return the driver's own error from within SQLAlchemy's."""
    adapted = getattr(error, "orig", None)
    return error if adapted is None else (adapted.__cause__ or adapted)


def sqlstate(error: BaseException) -> str:
    """Return the five characters Postgres gave, or an empty text."""
    state = getattr(_as_the_driver_said(error), "sqlstate", None)
    return state if isinstance(state, str) else ""


def passes_by_itself(error: BaseException) -> bool:
    """Tell whether the same work may succeed when it is tried again."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _as_the_driver_said(error)
    if isinstance(cause, OSError | PoolTimeoutError | TargetServerAttributeNotMatched):
        return True
    if isinstance(cause, asyncpg.InterfaceError) and "closed" in str(cause):
        return True
    return sqlstate(error).startswith(_PASSING)


class Work:
    """One transaction. What is not committed when its block ends never happened."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, query: TextClause, **values: object) -> int:
        """Run a statement; return how many rows it touched."""
        return (await self._connection.execute(query, values)).rowcount

    async def rows(self, query: TextClause, **values: object) -> Sequence[Row[Any]]:
        """Run a query; return its rows, attributes named as the columns."""
        return (await self._connection.execute(query, values)).all()

    async def row(self, query: TextClause, **values: object) -> Row[Any] | None:
        """Run a query; return its first row, if any."""
        return (await self._connection.execute(query, values)).first()

    async def copy(self, table: str, columns: Sequence[str], records: Iterable[tuple[object, ...]]) -> None:
        """Write rows by COPY, inside this transaction: the fastest way in."""
        raw = await self._connection.get_raw_connection()
        driver = raw.driver_connection
        if driver is None:
            raise TemporaryError("the connection is gone")
        await driver.copy_records_to_table(table, records=records, columns=columns)

    async def commit(self) -> None:
        """Make it happen. If this raises, nobody knows whether it did: repeat what is safe to repeat."""
        await self._connection.commit()


class Database:
    """The service's own part of Postgres."""

    def __init__(self, engine: AsyncEngine, standby: AsyncEngine | None = None) -> None:
        self._engine = engine
        self._standby = standby
        self._away_until = 0.0

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        """Begin a unit of work.

        Raises:
            TemporaryError: the server is away, not writable or too slow, at the beginning or in the block.
        """
        async with _begin(self._engine) as work:
            yield work

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Work]:
        """Begin a unit that only reads: on the primary or, while it is away, on a standby.

        Raises:
            TemporaryError: neither answers in time, or what answered was lost in the block: read again.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_timely(READ_SECONDS))
            if self._standby is not None and time.monotonic() < self._away_until:
                yield await stack.enter_async_context(_begin(self._standby))
            else:
                await stack.enter_async_context(self._distrusting())
                yield await self._first_that_answers(stack)

    async def _first_that_answers(self, stack: AsyncExitStack) -> Work:
        try:
            return await stack.enter_async_context(_begin(self._engine, READ_SECONDS / 2))
        except TemporaryError:
            if self._standby is None:
                raise
            self._away_until = time.monotonic() + AWAY_SECONDS
        return await stack.enter_async_context(_begin(self._standby))

    @asynccontextmanager
    async def _distrusting(self) -> AsyncIterator[None]:
        """Send other readers to the standby for a while when the block fails."""
        try:
            yield
        except TemporaryError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    async def reason(self) -> str | None:
        """Return why nothing can be written at the moment, or None."""
        try:
            async with asyncio.timeout(PING_SECONDS), self._engine.connect() as connection:
                await connection.execute(_PING)
        except Exception as error:  # noqa: BLE001 - any failure here is the answer
            return f"the database is not available: {type(error).__name__}"
        return None

    async def close(self) -> None:
        """Close every connection."""
        for engine in (self._engine, self._standby):
            if engine is not None:
                await engine.dispose()


@asynccontextmanager
async def _begin(engine: AsyncEngine, connect_seconds: float | None = None) -> AsyncIterator[Work]:
    """Begin a transaction; what may pass by itself becomes a `TemporaryError`."""
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(connect_seconds):
                connection = await stack.enter_async_context(engine.connect())
            yield Work(connection)
    except Exception as error:
        if isinstance(error, PoolTimeoutError):
            REFUSED.labels(engine.sync_engine.logging_name, "bulkhead").inc()
        if passes_by_itself(error):
            raise TemporaryError("the database is not available") from error
        raise


@asynccontextmanager
async def _timely(seconds: float) -> AsyncIterator[None]:
    """Give the block so long; a lost server may never answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TemporaryError("the database did not answer in time") from error


@asynccontextmanager
async def open_database(process: ProcessSettings, settings: DatabaseSettings) -> AsyncIterator[Database]:
    """Give the service its database for as long as the block lasts; connections are made when needed."""
    url = settings.database_standby_url
    standby = create_engine(process, settings, url.get_secret_value(), attributes="any") if url else None
    database = Database(create_engine(process, settings), standby)
    try:
        yield database
    finally:
        await database.close()


def create_engine(
    process: ProcessSettings, settings: DatabaseSettings, url: str = "", attributes: str = "read-write"
) -> AsyncEngine:
    """Build an engine with its limits and its guards: its pool is a bulkhead, its connector a breaker.

    Args:
        process: whose it is.
        settings: its limits, and where the primary is.
        url: where else it leads, if not to the primary.
        attributes: what a server must be like to be talked to: `read-write`, or `any`.
    """
    address = url or settings.database_url.get_secret_value()
    arguments = _connect_arguments(process, settings) | {"target_session_attrs": attributes}
    operation = "postgres.standby" if url else "postgres"
    connector = Connector(operation, address, arguments)
    engine = create_async_engine(
        address,
        async_creator=connector.connect,
        logging_name=operation,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=settings.database_wait_seconds,
        pool_use_lifo=True,
    )
    UNDER_WAY.labels(operation).set_function(cast("QueuePool", engine.pool).checkedout)
    event.listen(engine.sync_engine, "engine_disposed", lambda _: connector.close())
    event.listen(engine.sync_engine, "connect", _keep_alive)
    event.listen(engine.sync_engine, "checkin", _remember_use)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "handle_error", _distrust_lost)
    return engine


def _connect_arguments(process: ProcessSettings, settings: DatabaseSettings) -> dict[str, object]:
    """Return what asyncpg is given for each connection."""
    statement = settings.database_statement_seconds
    return {
        "timeout": settings.database_connect_seconds,
        "command_timeout": statement + 2,
        "ssl": ssl.create_default_context(cafile=str(process.ca_file)) if process.ca_file else False,
        "server_settings": {
            "application_name": f"esq-{process.service}",
            "search_path": process.service,
            "statement_timeout": f"{statement:.0f}s",
            "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_SECONDS:.0f}s",
            "timezone": "UTC",
            "jit": "off",
        },
    }


def _keep_alive(connection: Any, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy gives its adapter classes
    """Let the kernel notice a peer that is gone."""
    transport = getattr(connection.driver_connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport else None
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_SECONDS // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)
    _remember_use(connection, record)


def _remember_use(_connection: Any, record: Any) -> None:  # noqa: ANN401 - as above
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: Any, record: Any, _proxy: Any) -> None:  # noqa: ANN401 - as above
    """Ask a connection that rested whether it is alive; if not, distrust all of its age."""
    if time.monotonic() - record.info.get("used", 0.0) < PING_AFTER_SECONDS:
        return
    try:
        connection.run_async(lambda driver: driver.fetchval("SELECT 1", timeout=PING_SECONDS))
    except Exception as error:
        raise DisconnectionError("a resting connection does not answer") from error


def _distrust_lost(context: ExceptionContext) -> None:
    """Treat timeouts and a server that became read-only as a lost connection: the pool is renewed."""
    error = context.original_exception
    if isinstance(error, OSError) or sqlstate(error).startswith(_LOST):
        context.is_disconnect = True
