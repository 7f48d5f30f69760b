"""The inbox: an event's id is stored with its effect, so that a second delivery has none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from services.contracts.topics import DAY_MS
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.database import Database, Work
    from services.kit.events import Incoming

SQL = load_queries(Path(__file__).with_name("kit.sql"))
KEEP_SECONDS = 8 * DAY_MS / 1000
"""A day longer than any topic keeps records."""
PURGE_EVERY_SECONDS = 3600.0


class Inbox(Protocol):
    """Port: tells new events from those that had their effect."""

    async def fresh(self, events: Sequence[Incoming]) -> list[Incoming]:
        """Remember the events; return those never seen before, each once, in the order given."""
        ...


class PostgresInbox:
    """The inbox table, in the unit of work that it is given."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def fresh(self, events: Sequence[Incoming]) -> list[Incoming]:
        """See `Inbox`."""
        rows = await self._work.rows(
            SQL["inbox_add"],
            companies=[event.company for event in events],
            event_ids=[event.event_id for event in events],
        )
        new = {row.event_id for row in rows}
        fresh = []
        for event in events:
            if event.event_id in new:
                new.remove(event.event_id)
                fresh.append(event)
        return fresh


class InboxKeeper:
    """Forgets, once an hour, events that no broker keeps any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Purge until told to stop."""
        while not stop.is_set():
            async with self._database.work() as work:
                await work.run(SQL["inbox_purge"], seconds=KEEP_SECONDS)
                await work.commit()
            try:
                async with asyncio.timeout(PURGE_EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue
