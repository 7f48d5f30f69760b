"""Background tasks: the planner plans campaigns as long as there are any, the scheduler looks after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.campaigns.planning import plan_next_chunk
from services.campaigns.scheduling import look_after
from services.kit.retry import wait_or_stop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from services.campaigns.commands import PlanNextChunk
    from services.campaigns.ports import ContactPages, Units

IDLE_SECONDS = 0.5
"""Between two looks when nothing waits to be planned."""
LOOK_SECONDS = 1.0
"""Between two looks for a campaign that is due."""


class Planner:
    """Any number may run: a plan is worked on by the holder of its lease.

    `announce` is called when messages were planned, so that the relay looks at once.
    """

    def __init__(
        self, command: PlanNextChunk, units: Units, contacts: ContactPages, announce: Callable[[], None]
    ) -> None:
        self._command = command
        self._units = units
        self._contacts = contacts
        self._announce = announce

    async def run(self, stop: asyncio.Event) -> None:
        """Plan until told to stop.

        Raises:
            TemporaryError: the database is away; the caller starts it again.
        """
        while not stop.is_set():
            planned = await plan_next_chunk(self._command, self._units, self._contacts)
            if planned is None:
                await wait_or_stop(stop, IDLE_SECONDS)
            elif planned:
                self._announce()


class Scheduler:
    """Looks after campaigns whose time has come. Any number may run: each campaign is held by one."""

    def __init__(self, units: Units, clock: Callable[[], datetime]) -> None:
        self._units = units
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Look after what is due until told to stop.

        Raises:
            TemporaryError: the database is away; the caller starts it again.
        """
        while not stop.is_set():
            if await look_after(self._clock(), self._units) is None:
                await wait_or_stop(stop, LOOK_SECONDS)
