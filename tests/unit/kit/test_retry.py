"""Bounded retries, backoff and interruptible sleep."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import TemporaryError
from services.kit.retry import MAX_BACKOFF_SECONDS, backoff_seconds, retry_bounded, sleep_unless_stopped


async def test_only_temporary_errors_are_retried() -> None:
    calls = 0

    async def flaky() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise TemporaryError("not yet")
        return calls

    assert await retry_bounded(flaky) == 3

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        await retry_bounded(broken)
    assert calls == 4


async def test_last_temporary_error_is_raised() -> None:
    async def unavailable() -> None:
        raise TemporaryError("unavailable")

    with pytest.raises(TemporaryError):
        await retry_bounded(unavailable, max_attempts=2, timeout_seconds=2)


def test_backoff_grows_and_is_bounded() -> None:
    assert backoff_seconds(2) <= 0.2
    assert all(0 < backoff_seconds(attempt) <= MAX_BACKOFF_SECONDS for attempt in range(2, 100))


async def test_sleep_ends_when_stopped() -> None:
    stop = asyncio.Event()
    assert await sleep_unless_stopped(stop, 0.01) is False
    stop.set()
    assert await sleep_unless_stopped(stop, 60) is True
