"""Postgres: a connection pool that survives failovers, and transactions that write nothing unless committed.

A pooled connection is used only if it answered recently and its server accepts writes. After a timeout the
whole pool is renewed, since the server may be gone. Transient errors become a `TemporaryError`.

Read-only transactions continue while there is no primary: on a standby, which may lag a little.
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

from services.kit.errors import TemporaryError
from services.kit.observability.metrics import IN_FLIGHT, REJECTED
from services.kit.postgres.connection_opener import SingleFlightConnector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy import Row, TextClause
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import QueuePool

    from services.kit.settings import DatabaseSettings, ProcessSettings

PING_IDLE_SECONDS = 1.0
"""A connection idle for longer is pinged before use."""
PING_TIMEOUT_SECONDS = 2.0
_PING = text("SELECT 1")
READ_TIMEOUT_SECONDS = 3.0
"""Timeout of a read-only transaction: pages are small, and its caller waits for them."""
STANDBY_PREFERENCE_SECONDS = 2.0
"""After a read on the primary failed, further reads go to the standby for this long."""
CLIENT_TIMEOUT_MARGIN_SECONDS = 1.0
"""Time that the server has, after the timeout of a statement, to say so: then its connection is lost."""
IDLE_TRANSACTION_TIMEOUT_SECONDS = 15.0
"""The server ends a transaction whose client is silent for longer: it releases the locks of a lost zone."""
TCP_USER_TIMEOUT_SECONDS = 10
"""Unacknowledged data closes a connection after this (TCP_USER_TIMEOUT)."""
_TRANSIENT_SQLSTATES = ("08", "40", "53", "55P03", "57", "25006")
"""Prefixes of transient errors: connection, serialisation, resources, locks, shutdown, read-only server."""
_DISCONNECT_SQLSTATES = ("08", "57P", "25006")


def _driver_error(error: BaseException) -> BaseException:
    """Return the driver's error that SQLAlchemy wrapped."""
    adapted = getattr(error, "orig", None)
    return error if adapted is None else (adapted.__cause__ or adapted)


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE code, or an empty string."""
    state = getattr(_driver_error(error), "sqlstate", None)
    return state if isinstance(state, str) else ""


def is_transient(error: BaseException) -> bool:
    """Return whether a retry may succeed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _driver_error(error)
    if isinstance(cause, OSError | PoolTimeoutError | TargetServerAttributeNotMatched):
        return True
    if isinstance(cause, asyncpg.InterfaceError) and "closed" in str(cause):
        return True
    return sqlstate(error).startswith(_TRANSIENT_SQLSTATES)


class Transaction:
    """One transaction; it is rolled back unless committed before its block ends."""

    def __init__(self, pg_connection: AsyncConnection) -> None:
        self._pg_connection = pg_connection

    async def execute(self, query: TextClause, **parameters: object) -> int:
        """Run a statement.

        Args:
            query: statement.
            **parameters: its parameters by name.

        Returns:
            Number of affected rows.
        """
        return (await self._pg_connection.execute(query, parameters)).rowcount

    async def fetch_all(self, query: TextClause, **parameters: object) -> Sequence[Row[Any]]:
        """Run a query.

        Args:
            query: query.
            **parameters: its parameters by name.

        Returns:
            All rows, with attributes named as the columns.
        """
        return (await self._pg_connection.execute(query, parameters)).all()

    async def fetch_one(self, query: TextClause, **parameters: object) -> Row[Any] | None:
        """Run a query.

        Args:
            query: query.
            **parameters: its parameters by name.

        Returns:
            The first row; None if there is none.
        """
        return (await self._pg_connection.execute(query, parameters)).first()

    async def copy_records(
        self, table: str, columns: Sequence[str], records: Iterable[tuple[object, ...]]
    ) -> None:
        """Insert rows with COPY within this transaction, the fastest way.

        Args:
            table: name of the table.
            columns: names of the columns.
            records: rows, with values in the order of `columns`.

        Raises:
            TemporaryError: the connection is closed.
        """
        raw = await self._pg_connection.get_raw_connection()
        driver = raw.driver_connection
        if driver is None:
            raise TemporaryError("the database connection is closed")
        await driver.copy_records_to_table(table, records=records, columns=columns)

    async def commit(self) -> None:
        """Commit. On error the outcome is unknown: repeat only what is idempotent."""
        await self._pg_connection.commit()


class Database:
    """The service's schema in Postgres."""

    def __init__(self, engine: AsyncEngine, standby: AsyncEngine | None = None) -> None:
        self._engine = engine
        self._standby = standby
        self._prefer_standby_until = 0.0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a read-write transaction.

        Raises:
            TemporaryError: the server is unavailable, read-only or too slow, at the start or in the block.
        """
        async with _begin(self._engine) as transaction:
            yield transaction

    @asynccontextmanager
    async def read_only_transaction(self) -> AsyncIterator[Transaction]:
        """Begin a transaction for reading: on the primary or, while it is unavailable, on a standby.

        Raises:
            TemporaryError: no server answers in time, or the connection was lost in the block; retry.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_deadline(READ_TIMEOUT_SECONDS))
            if self._standby is not None and time.monotonic() < self._prefer_standby_until:
                yield await stack.enter_async_context(_begin(self._standby))
            else:
                await stack.enter_async_context(self._prefer_standby_on_failure())
                yield await self._begin_with_fallback(stack)

    async def _begin_with_fallback(self, stack: AsyncExitStack) -> Transaction:
        try:
            return await stack.enter_async_context(_begin(self._engine, READ_TIMEOUT_SECONDS / 2))
        except TemporaryError:
            if self._standby is None:
                raise
            self._prefer_standby_until = time.monotonic() + STANDBY_PREFERENCE_SECONDS
        return await stack.enter_async_context(_begin(self._standby))

    @asynccontextmanager
    async def _prefer_standby_on_failure(self) -> AsyncIterator[None]:
        """Direct further reads to the standby for a while when the block fails."""
        try:
            yield
        except TemporaryError:
            self._prefer_standby_until = time.monotonic() + STANDBY_PREFERENCE_SECONDS
            raise

    async def readiness_problem(self) -> str | None:
        """Return why the database cannot be used, or None; see `Health.add`."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS), self._engine.connect() as pg_connection:
                await pg_connection.execute(_PING)
        except Exception as error:  # noqa: BLE001 - any failure here is the result
            return f"the database is not available: {type(error).__name__}"
        return None

    async def close(self) -> None:
        """Close all connections."""
        for engine in (self._engine, self._standby):
            if engine is not None:
                await engine.dispose()


@asynccontextmanager
async def _begin(
    engine: AsyncEngine, connect_timeout_seconds: float | None = None
) -> AsyncIterator[Transaction]:
    """Begin a transaction; transient errors become a `TemporaryError`."""
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(connect_timeout_seconds):
                pg_connection = await stack.enter_async_context(engine.connect())
            yield Transaction(pg_connection)
    except Exception as error:
        if isinstance(error, PoolTimeoutError):
            REJECTED.labels(engine.sync_engine.logging_name, "bulkhead").inc()
        if is_transient(error):
            raise TemporaryError("the database is not available") from error
        raise


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Bound the time of the block; a lost server may never answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TemporaryError("the database did not answer in time") from error


@asynccontextmanager
async def open_database(process: ProcessSettings, settings: DatabaseSettings) -> AsyncIterator[Database]:
    """Open the database for the duration of the block; connections are opened on demand.

    Args:
        process: names the schema and the CA file.
        settings: addresses, pool size and timeouts.

    Yields:
        The database.
    """
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
    """Build an engine: its pool is a bulkhead, its connector a circuit breaker.

    Args:
        process: names the schema and the CA file.
        settings: pool size, timeouts, and the address of the primary.
        url: address of another server than the primary.
        attributes: required state of the server: `read-write`, or `any`.

    Returns:
        The engine.
    """
    address = url or settings.database_url.get_secret_value()
    arguments = _connect_arguments(process, settings) | {"target_session_attrs": attributes}
    operation = "postgres.standby" if url else "postgres"
    connector = SingleFlightConnector(operation, address, arguments)
    engine = create_async_engine(
        address,
        async_creator=connector.connect,
        logging_name=operation,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout_seconds,
        pool_use_lifo=True,
    )
    IN_FLIGHT.labels(operation).set_function(cast("QueuePool", engine.pool).checkedout)
    event.listen(engine.sync_engine, "engine_disposed", lambda _: connector.close())
    event.listen(engine.sync_engine, "connect", _configure_keepalive)
    event.listen(engine.sync_engine, "checkin", _record_use)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "handle_error", _invalidate_lost)
    return engine


def _connect_arguments(process: ProcessSettings, settings: DatabaseSettings) -> dict[str, object]:
    """Return the arguments of `asyncpg.connect`."""
    statement_timeout = settings.database_statement_timeout_seconds
    return {
        "timeout": settings.database_connect_timeout_seconds,
        "command_timeout": statement_timeout + CLIENT_TIMEOUT_MARGIN_SECONDS,
        "ssl": ssl.create_default_context(cafile=str(process.ca_file)) if process.ca_file else False,
        "server_settings": {
            "application_name": f"esq-{process.service}",
            "search_path": process.service,
            "statement_timeout": f"{statement_timeout:.0f}s",
            "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_TIMEOUT_SECONDS:.0f}s",
            "timezone": "UTC",
            "jit": "off",
        },
    }


def _configure_keepalive(pg_connection: Any, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy passes its adapter classes
    """Make the kernel detect a lost peer."""
    transport = getattr(pg_connection.driver_connection, "_transport", None)
    sock = transport.get_extra_info("socket") if transport else None
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_USER_TIMEOUT_SECONDS // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_SECONDS * 1000)
    _record_use(pg_connection, record)


def _record_use(_pg_connection: Any, record: Any) -> None:  # noqa: ANN401 - as above
    record.info["used_at"] = time.monotonic()


def _ping_if_idle(pg_connection: Any, record: Any, _proxy: Any) -> None:  # noqa: ANN401 - as above
    """Ping a connection that was idle; if it does not answer, discard all connections of its age."""
    if time.monotonic() - record.info.get("used_at", 0.0) < PING_IDLE_SECONDS:
        return
    try:
        pg_connection.run_async(lambda driver: driver.fetchval("SELECT 1", timeout=PING_TIMEOUT_SECONDS))
    except Exception as error:
        raise DisconnectionError("an idle connection does not answer") from error


def _invalidate_lost(context: ExceptionContext) -> None:
    """Treat timeouts and a server that became read-only as a lost connection: the pool is renewed."""
    error = context.original_exception
    if isinstance(error, OSError) or sqlstate(error).startswith(_DISCONNECT_SQLSTATES):
        context.is_disconnect = True
