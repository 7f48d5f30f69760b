"""Opens Postgres connections one at a time, with a backoff after a failure.

After a failover every process opens all of its connections at the same moment. Handshakes that are aborted
half-way and restarted cost the new primary more than those that complete: on two cores 660 of them delayed
the writes by 15 s more after a zone outage. So a pool opens one connection at a time, in a task of its own: a
caller that stops waiting leaves the connection to the next caller.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import make_url

from services.kit.observability.metrics import (
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_STATE,
    REJECTED,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RECONNECT_BACKOFF_SECONDS = 0.5
"""Delay after a failure, multiplied by a random factor between 0.5 and 1.5."""


class SingleFlightConnector:
    """Opens the connections of one pool, and is the circuit breaker of its server."""

    def __init__(
        self,
        operation: str,
        url: str,
        arguments: dict[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure the connector.

        Args:
            operation: name in metrics.
            url: address of the server in SQLAlchemy's format.
            arguments: further arguments of `asyncpg.connect`.
            clock: monotonic time in seconds.
        """
        self._state = BREAKER_STATE.labels(operation)
        self._rejected = REJECTED.labels(operation, "breaker")
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._arguments = arguments
        self._clock = clock
        self._lock = asyncio.Lock()
        self._opening: asyncio.Task[asyncpg.Connection] | None = None
        self._retry_at = 0.0

    async def connect(self) -> asyncpg.Connection:
        """Return a connection for the exclusive use of the caller.

        Raises:
            ConnectionRefusedError: a connection failed a moment ago; the server was not contacted again.
            OSError: the server is unavailable or does not answer in time. Errors of asyncpg are not wrapped.
        """
        async with self._lock:
            if self._opening is None or _is_unusable(self._opening):
                self._opening = self._start_opening()
            pg_connection = await asyncio.shield(self._opening)
            self._opening = None
            return pg_connection

    def close(self) -> None:
        """Cancel the connection being opened, or close one that no caller took."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.cancel() and not _is_unusable(opening):
            opening.result().terminate()

    def _start_opening(self) -> asyncio.Task[asyncpg.Connection]:
        if self._clock() < self._retry_at:
            self._rejected.inc()
            raise ConnectionRefusedError("the last connection attempt failed; backing off")
        opening = asyncio.create_task(self._open(), name="connect to the database")
        # All callers may be gone when it fails: retrieve the exception so that asyncio does not log it.
        opening.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return opening

    async def _open(self) -> asyncpg.Connection:
        try:
            pg_connection = await asyncpg.connect(self._url, **self._arguments)
        except BaseException:
            self._state.set(BREAKER_OPEN)
            jitter = random.uniform(0.5, 1.5)  # noqa: S311 - jitter is no secret
            self._retry_at = self._clock() + RECONNECT_BACKOFF_SECONDS * jitter
            raise
        self._state.set(BREAKER_CLOSED)
        return pg_connection


def _is_unusable(opening: asyncio.Task[asyncpg.Connection]) -> bool:
    """Return whether the attempt failed, or its connection was closed before a caller took it."""
    return opening.done() and (opening.exception() is not None or bool(opening.result().is_closed()))
