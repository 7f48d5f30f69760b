"""Circuit breakers and bulkheads: limit calls to a failing operation and contain its effects.

A breaker opens after a number of consecutive failures: further calls are rejected at once instead of waiting
for their timeout, and the remote side is relieved. After a while one probe call is let through. A bulkhead
bounds the calls in flight, so that one slow operation cannot use up all connections and memory of a process.
Both reject with a `TemporaryError`, which says when to retry.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from purgatory import SyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, OpenedState

from services.kit.errors import ServiceError, TemporaryError
from services.kit.observability.metrics import (
    BREAKER_CLOSED,
    BREAKER_HALF_OPEN,
    BREAKER_OPEN,
    BREAKER_STATE,
    IN_FLIGHT,
    REJECTED,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STATE_VALUES = {CLOSED: BREAKER_CLOSED, HALF_OPENED: BREAKER_HALF_OPEN, OPENED: BREAKER_OPEN}


def _is_permanent_error(error: BaseException) -> bool:
    """Return whether the remote side answered and rejected the call, which shows that it is healthy."""
    return isinstance(error, ServiceError) and not isinstance(error, TemporaryError)


class CircuitBreaker:
    """Circuit breaker and bulkhead of one remote operation, shared by all callers of a process."""

    def __init__(
        self,
        operation: str,
        *,
        failure_threshold: int = 5,
        open_seconds: float = 5.0,
        max_concurrent: int = 64,
        acquire_timeout_seconds: float = 0.5,
    ) -> None:
        """Configure the breaker.

        Args:
            operation: name in metrics and errors, e.g. `cloud-api.send`.
            failure_threshold: consecutive failures that open the breaker.
            open_seconds: seconds that the breaker stays open before a probe call.
            max_concurrent: upper bound of calls in flight.
            acquire_timeout_seconds: longest wait for a free slot in seconds.
        """
        self.operation = operation
        self._max_concurrent = max_concurrent
        self._open_seconds = open_seconds
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._semaphore = asyncio.Semaphore(max_concurrent)
        self._probing = False
        self._in_flight = IN_FLIGHT.labels(operation)
        factory = SyncCircuitBreakerFactory(
            failure_threshold,
            open_seconds,
            exclude=[(ServiceError, _is_permanent_error), asyncio.CancelledError],
        )
        # One breaker for all calls: it keeps the state of a call on the stack of the call.
        self._circuit = factory.get_breaker(operation)
        factory.add_listener(self._export_state)
        self._export_state()

    def _export_state(self, *_event: object) -> None:
        BREAKER_STATE.labels(self.operation).set(STATE_VALUES[self._circuit.context.state])

    def permits(self, requested: int) -> int:
        """Return how many of `requested` calls are permitted now: 0 while open, then 1 as the probe."""
        context = self._circuit.context
        if context.state == CLOSED:
            return requested
        opened_at = context.opened_at
        is_open = opened_at is not None and time.time() <= opened_at + self._open_seconds
        return 0 if is_open or self._probing else min(requested, 1)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Make one call in the block.

        Raises:
            TemporaryError: the call was rejected: the breaker is open, or too many calls are in flight.
        """
        await self._acquire()
        self._in_flight.inc()
        try:
            with self._guarded():
                yield
        finally:
            self._in_flight.dec()
            self._semaphore.release()

    async def _acquire(self) -> None:
        if not self._semaphore.locked():  # the usual case: a timeout would cost as much as everything else
            await self._semaphore.acquire()
            return
        try:
            async with asyncio.timeout(self._acquire_timeout_seconds):
                await self._semaphore.acquire()
        except TimeoutError:
            REJECTED.labels(self.operation, "bulkhead").inc()
            raise TemporaryError(
                f"{self.operation}: {self._max_concurrent} calls are in flight already"
            ) from None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        # The library lets all callers through when half-open; one probe is enough.
        is_probe = self._circuit.context.state != CLOSED
        if is_probe and self._probing:
            raise self._rejection()
        self._probing = is_probe
        try:
            with self._circuit:
                if is_probe:
                    self._export_state()
                yield
        except OpenedState:
            raise self._rejection() from None
        finally:
            self._probing = self._probing and not is_probe

    def _rejection(self) -> TemporaryError:
        REJECTED.labels(self.operation, "breaker").inc()
        return TemporaryError(
            f"{self.operation}: the circuit breaker is open", retry_after=self._open_seconds
        )
