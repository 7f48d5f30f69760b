"""Trying again: bounded and with jitter (stamina), or for ever where nothing may be lost."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    Result = TypeVar("Result")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0


async def bounded(
    call: Callable[[], Awaitable[Result]], *, attempts: int = 5, seconds: float = 10.0
) -> Result:
    """Call until it succeeds.

    Raises:
        TemporaryError: it still failed after so many attempts or seconds. Other errors are raised at once.
    """
    import stamina  # noqa: PLC0415 - only processes that call others load it

    async for attempt in stamina.retry_context(
        on=TemporaryError, attempts=attempts, timeout=seconds, wait_initial=FIRST_PAUSE_SECONDS, wait_max=2.0
    ):
        with attempt:
            return await call()
    raise AssertionError("the last attempt returns or raises")


def pause_before(attempt: int) -> float:
    """Return the seconds to wait before attempt 2, 3, ...: doubling, bounded, half of it chance."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 2, 16))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; return True as soon as the process is to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
