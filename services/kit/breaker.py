"""Circuit breakers and bulkheads: an operation that is in trouble is asked less, and harms only itself.

A breaker opens after some failures in a row: callers are then refused at once instead of waiting each for its
timeout, and the other side is left in peace. After a while one call tries again. A bulkhead bounds the calls
under way, so that one slow operation cannot take every connection and all memory of a process. Both refuse
with `TemporaryError`, which says when to return.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from purgatory import SyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, OpenedState

from services.kit.errors import ServiceError, TemporaryError
from services.kit.guards import IS_CLOSED, IS_OPEN, REFUSED, STATE, TRIES_AGAIN, UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STATES = {CLOSED: IS_CLOSED, HALF_OPENED: TRIES_AGAIN, OPENED: IS_OPEN}


def _is_refusal(error: BaseException) -> bool:
    """Tell whether the other side answered, only not as was wished: it is well."""
    return isinstance(error, ServiceError) and not isinstance(error, TemporaryError)


class Breaker:
    """One outside operation, as all callers of a process share it."""

    def __init__(
        self,
        operation: str,
        *,
        failures: int = 5,
        open_seconds: float = 5.0,
        most: int = 64,
        wait_seconds: float = 0.5,
    ) -> None:
        """Describe it.

        Args:
            operation: name in metrics and errors, e.g. `cloud-api.send`.
            failures: in a row, after which it opens.
            open_seconds: before one call tries again.
            most: calls under way at once.
            wait_seconds: that a call waits for its place among them.
        """
        self.operation = operation
        self._most = most
        self._open_seconds = open_seconds
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(most)
        self._trying = False
        self._under_way = UNDER_WAY.labels(operation)
        breakers = SyncCircuitBreakerFactory(
            failures,
            open_seconds,
            exclude=[(ServiceError, _is_refusal), asyncio.CancelledError],
        )
        # One for all calls: what a call needs of its own is on its stack.
        self._circuit = breakers.get_breaker(operation)
        breakers.add_listener(self._tell)
        self._tell()

    def _tell(self, *_event: object) -> None:
        STATE.labels(self.operation).set(STATES[self._circuit.context.state])

    def room(self, wanted: int) -> int:
        """Return how many of `wanted` calls are worth preparing: none while it is open, then one, to see."""
        context = self._circuit.context
        if context.state == CLOSED:
            return wanted
        opened_at = context.opened_at
        is_open = opened_at is not None and time.time() <= opened_at + self._open_seconds
        return 0 if is_open or self._trying else min(wanted, 1)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Make a call in this block.

        Raises:
            TemporaryError: it was not made: the breaker is open, or too many are under way.
        """
        await self._take_place()
        self._under_way.inc()
        try:
            with self._watched():
                yield
        finally:
            self._under_way.dec()
            self._places.release()

    async def _take_place(self) -> None:
        if not self._places.locked():  # as nearly always: a deadline would cost as much as all the rest
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            REFUSED.labels(self.operation, "bulkhead").inc()
            raise TemporaryError(f"{self.operation}: {self._most} calls are under way already") from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        # The library lets everybody try when its time has come; one is enough to know.
        trial = self._circuit.context.state != CLOSED
        if trial and self._trying:
            raise self._refusal()
        self._trying = trial
        try:
            with self._circuit:
                if trial:
                    self._tell()
                yield
        except OpenedState:
            raise self._refusal() from None
        finally:
            self._trying = self._trying and not trial

    def _refusal(self) -> TemporaryError:
        REFUSED.labels(self.operation, "breaker").inc()
        return TemporaryError(f"{self.operation} fails for now", retry_after=self._open_seconds)
