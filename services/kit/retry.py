"""Retries: bounded with jitter (stamina), or backoff delays for loops that never give up."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    Result = TypeVar("Result")

INITIAL_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 10.0


async def retry_bounded(
    call: Callable[[], Awaitable[Result]], *, max_attempts: int = 5, timeout_seconds: float = 10.0
) -> Result:
    """Call until it succeeds or a limit is reached.

    Args:
        call: operation to run; a `TemporaryError` is retried.
        max_attempts: upper bound of attempts.
        timeout_seconds: upper bound of the total time in seconds.

    Returns:
        Result of the first successful attempt.

    Raises:
        TemporaryError: the last attempt failed. Other errors are raised at once.
    """
    import stamina  # noqa: PLC0415 - only processes that call others load it

    async for attempt in stamina.retry_context(
        on=TemporaryError,
        attempts=max_attempts,
        timeout=timeout_seconds,
        wait_initial=INITIAL_BACKOFF_SECONDS,
        wait_max=2.0,
    ):
        with attempt:
            return await call()
    raise AssertionError("the last attempt returns or raises")


def backoff_seconds(attempt: int) -> float:
    """Return the delay before attempt 2, 3, ... in seconds: exponential, bounded, half of it random."""
    upper = min(MAX_BACKOFF_SECONDS, INITIAL_BACKOFF_SECONDS * 2.0 ** min(attempt - 2, 16))
    return upper * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


async def sleep_unless_stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, or return early when the process stops.

    Args:
        stop: set when the process stops.
        seconds: longest sleep.

    Returns:
        True when `stop` is set.
    """
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
