"""Mutual exclusion per key within this process.

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


class KeyedLock:
    """One lock per key that is held or waited for."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(self, key: Hashable, timeout_seconds: float) -> AsyncIterator[None]:
        """Hold the lock of `key` during the block; waiters acquire it in FIFO order.

        Args:
            key: key to lock.
            timeout_seconds: longest wait in seconds, so that the queue of waiters stays bounded.

        Yields:
            Nothing; the lock is held.

        Raises:
            TemporaryError: the lock was not acquired in time.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout_seconds):
                await lock.acquire()
        except TimeoutError as error:
            raise TemporaryError("timed out waiting for the lock") from error
        try:
            yield
        finally:
            lock.release()
