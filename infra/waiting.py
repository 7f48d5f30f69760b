"""Waits for a condition in a cluster. They outlast an outage, such as a restart of the API server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from infra.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.progress import ProgressStep

OUTAGE_SECONDS = 300.0
"""Tolerated outage. A longer one ends the wait, however much time remains."""
POLL_INTERVAL_SECONDS = 0.5

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None],
    step: ProgressStep,
    timeout_seconds: float,
    *,
    interval_seconds: float = POLL_INTERVAL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> T | None:
    """Poll a condition until it holds.

    Args:
        condition: returns None while it does not hold.
        step: shows an outage.
        timeout_seconds: limit of the wait.
        interval_seconds: time between two polls.
        clock: monotonic time in seconds.

    Returns:
        The first result of `condition` that is not None; None at the limit.

    Raises:
        UnreachableError: an outage lasted longer than `OUTAGE_SECONDS`, or until the limit.
    """
    deadline, answered_at = clock() + timeout_seconds, clock()
    while True:
        try:
            result = condition()
        except UnreachableError as error:
            if clock() > min(deadline, answered_at + OUTAGE_SECONDS):
                raise
            step.set_status(f"{error.message} for {clock() - answered_at:.0f} s")
        else:
            answered_at = clock()
            if result is not None or answered_at > deadline:
                return result
        time.sleep(interval_seconds)
