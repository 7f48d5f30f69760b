"""Limit of concurrent blocks per key within this process.

For work that would wait for the same row anyway: waiting here occupies no database connection, so that work
on other keys can proceed.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable


class KeyedLimit:
    """One semaphore per key that is held or waited for.

    Args:
        limit: concurrent blocks with the same key.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._semaphores: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(self, key: Hashable, timeout_seconds: float) -> AsyncIterator[None]:
        """Run the block as one of at most `limit` with the same key; waiters enter in FIFO order.

        Args:
            key: key of the block.
            timeout_seconds: longest wait in seconds, so that the queue of waiters stays bounded.

        Yields:
            Nothing; the block counts against the limit.

        Raises:
            TemporaryError: there was no place in time.
        """
        semaphore = self._semaphores.setdefault(key, asyncio.Semaphore(self._limit))
        try:
            async with asyncio.timeout(timeout_seconds):
                await semaphore.acquire()
        except TimeoutError as error:
            raise TemporaryError("too many concurrent requests for the same object") from error
        try:
            yield
        finally:
            semaphore.release()
