"""The planner: a background task that plans campaigns as long as there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.campaigns.handlers import plan_next_chunk
from services.kit.retry import wait_or_stop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from services.campaigns.commands import PlanNextChunk
    from services.campaigns.ports import ContactPages, Units

IDLE_SECONDS = 0.5
"""Between two looks when nothing waits to be planned."""


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
