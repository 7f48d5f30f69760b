"""Breakers and bulkheads, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.kit.breaker import Breaker
from services.kit.errors import InvalidError, TemporaryError
from tests.clock import Clock, breakers_follow
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    breakers_follow(clock, monkeypatch)
    return clock


def breaker(name: str, **more: float) -> Breaker:
    return Breaker(name, failures=3, open_seconds=5, **more)  # type: ignore[arg-type]  # keywords of a test


async def fail(guarded: Breaker, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with guarded.call():
            raise error


async def succeed(guarded: Breaker) -> None:
    async with guarded.call():
        pass


async def test_it_opens_after_failures_in_a_row_and_says_when_to_return(clock: Clock) -> None:
    guarded = breaker("opens")
    for _ in range(2):
        await fail(guarded, TemporaryError("away"))
    await succeed(guarded)
    for _ in range(3):
        await fail(guarded, TimeoutError("late"))
    assert metric("esq_breaker_state", operation="opens") == 2
    made = False
    with pytest.raises(TemporaryError, match="opens fails for now") as told:
        async with guarded.call():
            made = True
    assert not made
    assert told.value.retry_after == 5
    assert metric("esq_breaker_refused_total", operation="opens", by="breaker") == 1
    clock.now += 5.1
    await succeed(guarded)
    assert metric("esq_breaker_state", operation="opens") == 0


async def test_one_call_tries_again_while_others_are_refused(clock: Clock) -> None:
    guarded = breaker("tries")
    for _ in range(3):
        await fail(guarded, OSError("gone"))
    clock.now += 5.1
    async with guarded.call():
        assert metric("esq_breaker_state", operation="tries") == 1
        await fail(guarded, TemporaryError("refused"))
    await succeed(guarded)


async def test_a_failed_trial_opens_it_again(clock: Clock) -> None:
    guarded = breaker("again")
    for _ in range(3):
        await fail(guarded, OSError("gone"))
    clock.now += 5.1
    await fail(guarded, OSError("still gone"))
    assert metric("esq_breaker_state", operation="again") == 2
    await fail(guarded, TemporaryError("refused"))
    clock.now += 5.1
    await succeed(guarded)


async def test_an_answer_that_refuses_is_no_failure(clock: Clock) -> None:
    guarded = breaker("answers")
    for _ in range(10):
        await fail(guarded, InvalidError("no such number"))
    await succeed(guarded)
    assert clock.now == 1000


@pytest.mark.parametrize("end", [TemporaryError("away"), InvalidError("no"), None])
async def test_no_more_than_its_places_are_under_way(end: Exception | None) -> None:
    guarded = breaker("places", most=2, wait_seconds=0.02)
    release = asyncio.Event()

    async def hold() -> None:
        async with guarded.call():
            await release.wait()
            if end:
                raise end

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(0)
    await _eventually(lambda: metric("esq_bulkhead_under_way", operation="places") == 2)
    await fail(guarded, TemporaryError("full"))
    release.set()
    await asyncio.gather(*holders, return_exceptions=True)
    await succeed(guarded)
    assert metric("esq_bulkhead_under_way", operation="places") == 0


async def _eventually(
    ask: Callable[[], bool], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    async with asyncio.timeout(5):
        while not ask():
            await pause(0)


async def test_while_it_is_open_no_call_is_worth_preparing_and_then_one(clock: Clock) -> None:
    guarded = breaker("room")
    assert guarded.room(32) == 32, "before it was ever asked"
    for _ in range(3):
        await fail(guarded, TemporaryError("away"))
    assert guarded.room(32) == 0
    clock.now += 5.1
    assert guarded.room(32) == 1
    async with guarded.call():
        assert guarded.room(32) == 0, "one call tries at a time"
    assert guarded.room(32) == 32
