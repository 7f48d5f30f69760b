"""One batch at a time: what comes while one is on its way is sent together, once that is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

Settled = Callable[[Exception | None], None]
"""Told once per record, in the event loop's thread: None when it was acknowledged."""


class Batches:
    """Records on their way to one place.

    Args:
        send: sends a record, given its number and who is to be told what became of it.
    """

    def __init__(self, send: Callable[[int, Settled], None]) -> None:
        self._send = send
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._open = 0

    def put(self, number: int) -> asyncio.Future[None]:
        """Send a record when its turn comes, unless what is returned is cancelled before.

        Returns:
            what is done once the record is acknowledged, or has failed with what it was told.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, done))
        self._next()
        return done

    def _next(self) -> None:
        if self._open:
            return
        batch = [(number, done) for number, done in self._waiting if not done.done()]
        self._waiting, self._open = [], len(batch)
        for number, done in batch:
            self._send(number, partial(self._settle, done))

    def _settle(self, done: asyncio.Future[None], error: Exception | None) -> None:
        self._open -= 1
        if not done.done():  # else the attempt was given up
            done.set_exception(error) if error else done.set_result(None)
        self._next()
