"""Background task that measures what no event changes, such as ages, and sets gauges."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

MEASURE_INTERVAL_SECONDS = 10.0
log = logging.getLogger(__name__)


class PeriodicMeasurement:
    """Measures until stopped. While a dependency is unavailable the gauges keep their values."""

    def __init__(
        self, measure: Callable[[], Awaitable[None]], *, interval_seconds: float = MEASURE_INTERVAL_SECONDS
    ) -> None:
        """Set up the task.

        Args:
            measure: measures and sets the gauges.
            interval_seconds: time between two measurements.
        """
        self._measure = measure
        self._interval_seconds = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until `stop` is set."""
        while not stop.is_set():
            try:
                await self._measure()
            except TemporaryError as error:
                log.info("Not measured: %s", error, extra={"action": "measure"})
            await sleep_unless_stopped(stop, self._interval_seconds)
