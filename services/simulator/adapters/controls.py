"""The behaviour in force, shared by all replicas through one row."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.retry import wait_or_stop
from services.kit.sql import load_queries
from services.simulator.behaviour import Behaviour

if TYPE_CHECKING:
    from services.kit.database import Database

REFRESH_SECONDS = 1.0
"""A change reaches the other replicas within this time, the one that was asked at once."""
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


class Controls:
    """Keeps `current`, and changes it for everybody.

    One thing at a time: what was read before a change must not come into force after it.
    """

    def __init__(self, database: Database, initial: Behaviour) -> None:
        self._database = database
        self._initial = initial
        self._turn = asyncio.Lock()
        self.current = initial

    async def replace(self, behaviour: Behaviour) -> None:
        """Behave so from now on, restarts included."""
        async with self._turn, self._database.work() as work:
            await work.run(SQL["set_behaviour"], document=behaviour.model_dump_json())
            await work.commit()
            self.current = behaviour

    async def reset(self) -> None:
        """Behave as the settings say."""
        async with self._turn, self._database.work() as work:
            await work.run(SQL["reset_behaviour"])
            await work.commit()
            self.current = self._initial

    async def refresh(self) -> None:
        """Read what is set."""
        async with self._turn, self._database.work() as work:
            row = await work.row(SQL["behaviour"])
            self.current = Behaviour.model_validate_json(row.document) if row is not None else self._initial

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until told to stop."""
        while not stop.is_set():
            await self.refresh()
            await wait_or_stop(stop, REFRESH_SECONDS)
