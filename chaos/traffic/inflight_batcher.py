"""Batching with one batch in flight: records that arrive in the meantime are sent together afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

CompletionCallback = Callable[[Exception | None], None]
"""Called once per record in the event loop's thread: with None if it was acknowledged, else the error."""


class SingleInflightBatcher:
    """Records of one destination.

    Args:
        send: sends a record, given its number and the callback for its completion.
    """

    def __init__(self, send: Callable[[int, CompletionCallback], None]) -> None:
        self._send = send
        self._queued: list[tuple[int, asyncio.Future[None]]] = []
        self._in_flight = 0

    def put(self, number: int) -> asyncio.Future[None]:
        """Queue a record; it is not sent if the returned future is cancelled before.

        Returns:
            A future that is done when the record is acknowledged or has failed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queued.append((number, done))
        self._send_batch()
        return done

    def _send_batch(self) -> None:
        if self._in_flight:
            return
        batch = [(number, done) for number, done in self._queued if not done.done()]
        self._queued, self._in_flight = [], len(batch)
        for number, done in batch:
            self._send(number, partial(self._complete, done))

    def _complete(self, done: asyncio.Future[None], error: Exception | None) -> None:
        self._in_flight -= 1
        if not done.done():  # otherwise the attempt was cancelled
            done.set_exception(error) if error else done.set_result(None)
        self._send_batch()
