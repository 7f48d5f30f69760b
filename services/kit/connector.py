"""How a process comes to its connections to Postgres: one at a time, and not at once again after a failure.

After a failover every process wants all of its connections at the same moment. Handshakes that are given up
half-way and begun anew cost the new primary more than those that end: on two cores 660 of them kept a lost
zone's writes away for 15 s more. So one connection is opened at a time, in a task of its own: who gives up
waiting for it leaves it to whoever comes next.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import make_url

from services.kit.guards import IS_CLOSED, IS_OPEN, REFUSED, STATE

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS = 0.5
"""After a failure nobody tries for about this long: it is half to one and a half times as long, by chance."""


class Connector:
    """Opens the connections of one pool, and is the breaker in front of its server.

    Args:
        operation: name in metrics.
        url: where the server is, in SQLAlchemy's form.
        arguments: what asyncpg is given beside it.
        clock: seconds, always growing.
    """

    def __init__(
        self,
        operation: str,
        url: str,
        arguments: dict[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = STATE.labels(operation)
        self._refused = REFUSED.labels(operation, "breaker")
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._arguments = arguments
        self._clock = clock
        self._turn = asyncio.Lock()
        self._opening: asyncio.Task[asyncpg.Connection] | None = None
        self._not_before = 0.0

    async def connect(self) -> asyncpg.Connection:
        """Return a connection that nobody else has.

        Raises:
            ConnectionRefusedError: the server was away a moment ago; it was not asked again.
            OSError: it is away, or does not answer in time; asyncpg's errors are raised as they are.
        """
        async with self._turn:
            if self._opening is None or _is_spoilt(self._opening):
                self._opening = self._begin()
            connection = await asyncio.shield(self._opening)
            self._opening = None
            return connection

    def close(self) -> None:
        """Give up what is being opened, or was opened for nobody."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.cancel() and not _is_spoilt(opening):
            opening.result().terminate()

    def _begin(self) -> asyncio.Task[asyncpg.Connection]:
        if self._clock() < self._not_before:
            self._refused.inc()
            raise ConnectionRefusedError("the database was away a moment ago")
        opening = asyncio.create_task(self._open(), name="connect to the database")
        # Nobody may be left to be told of a failure; asyncio complains of an error that nobody looked at.
        opening.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return opening

    async def _open(self) -> asyncpg.Connection:
        try:
            connection = await asyncpg.connect(self._url, **self._arguments)
        except BaseException:
            self._state.set(IS_OPEN)
            self._not_before = self._clock() + PAUSE_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            raise
        self._state.set(IS_CLOSED)
        return connection


def _is_spoilt(opening: asyncio.Task[asyncpg.Connection]) -> bool:
    """Tell whether it failed, or led to a connection that has ended since, while nobody waited for it."""
    return opening.done() and (opening.exception() is not None or bool(opening.result().is_closed()))
