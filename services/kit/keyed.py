"""One at a time for each key, in this process.

For work that waits for the same row anyway: those that wait here hold no connection meanwhile, so that the
work of other keys finds one.
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
    """A lock for each key that somebody holds or waits for."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def holding(self, key: Hashable, wait_seconds: float) -> AsyncIterator[None]:
        """Hold the lock of `key` as long as the block lasts; first come, first served.

        Args:
            key: of what is worked on.
            wait_seconds: after which who waits is told to come again: no queue grows without end.

        Raises:
            TemporaryError: others had it for too long.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(wait_seconds):
                await lock.acquire()
        except TimeoutError as error:
            raise TemporaryError("others are at the same for too long") from error
        try:
            yield
        finally:
            lock.release()
