"""Circuit breakers and bulkheads, on a fake clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.kit.circuit_breaker import CircuitBreaker
from services.kit.errors import InvalidError, TemporaryError
from tests.clock import FakeClock, use_clock_for_breakers
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(1000.0)
    use_clock_for_breakers(clock, monkeypatch)
    return clock


def create_breaker(name: str, **options: float) -> CircuitBreaker:
    return CircuitBreaker(name, failure_threshold=3, open_seconds=5, **options)  # type: ignore[arg-type]  # keywords of a test


async def fail(breaker: CircuitBreaker, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with breaker.call():
            raise error


async def succeed(breaker: CircuitBreaker) -> None:
    async with breaker.call():
        pass


async def test_consecutive_failures_open_breaker_with_retry_after(clock: FakeClock) -> None:
    breaker = create_breaker("opens")
    for _ in range(2):
        await fail(breaker, TemporaryError("unavailable"))
    await succeed(breaker)
    for _ in range(3):
        await fail(breaker, TimeoutError("late"))
    assert metric("esq_circuit_breaker_state", operation="opens") == 2
    called = False
    with pytest.raises(TemporaryError, match="opens: the circuit breaker is open") as caught:
        async with breaker.call():
            called = True
    assert not called
    assert caught.value.retry_after == 5
    assert metric("esq_calls_rejected_total", operation="opens", reason="breaker") == 1
    clock.now += 5.1
    await succeed(breaker)
    assert metric("esq_circuit_breaker_state", operation="opens") == 0


async def test_half_open_breaker_permits_one_probe(clock: FakeClock) -> None:
    breaker = create_breaker("probes")
    for _ in range(3):
        await fail(breaker, OSError("connection lost"))
    clock.now += 5.1
    async with breaker.call():
        assert metric("esq_circuit_breaker_state", operation="probes") == 1
        await fail(breaker, TemporaryError("rejected"))
    await succeed(breaker)


async def test_failed_probe_reopens_breaker(clock: FakeClock) -> None:
    breaker = create_breaker("reopens")
    for _ in range(3):
        await fail(breaker, OSError("connection lost"))
    clock.now += 5.1
    await fail(breaker, OSError("connection still lost"))
    assert metric("esq_circuit_breaker_state", operation="reopens") == 2
    await fail(breaker, TemporaryError("rejected"))
    clock.now += 5.1
    await succeed(breaker)


async def test_permanent_error_does_not_count_as_failure(clock: FakeClock) -> None:
    breaker = create_breaker("permanent-errors")
    for _ in range(10):
        await fail(breaker, InvalidError("no such number"))
    await succeed(breaker)
    assert clock.now == 1000


@pytest.mark.parametrize("end", [TemporaryError("unavailable"), InvalidError("no"), None])
async def test_bulkhead_limits_calls_in_flight(end: Exception | None) -> None:
    breaker = create_breaker("bulkhead", max_concurrent=2, acquire_timeout_seconds=0.02)
    release = asyncio.Event()

    async def occupy() -> None:
        async with breaker.call():
            await release.wait()
            if end:
                raise end

    occupants = [asyncio.create_task(occupy()) for _ in range(2)]
    await asyncio.sleep(0)
    await _wait_until(lambda: metric("esq_bulkhead_in_flight_calls", operation="bulkhead") == 2)
    await fail(breaker, TemporaryError("full"))
    release.set()
    await asyncio.gather(*occupants, return_exceptions=True)
    await succeed(breaker)
    assert metric("esq_bulkhead_in_flight_calls", operation="bulkhead") == 0


async def _wait_until(
    condition: Callable[[], bool], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await pause(0)


async def test_open_breaker_permits_no_calls_and_then_one(clock: FakeClock) -> None:
    breaker = create_breaker("permits")
    assert breaker.permits(32) == 32, "before the first call"
    for _ in range(3):
        await fail(breaker, TemporaryError("unavailable"))
    assert breaker.permits(32) == 0
    clock.now += 5.1
    assert breaker.permits(32) == 1
    async with breaker.call():
        assert breaker.permits(32) == 0, "one probe at a time"
    assert breaker.permits(32) == 32
