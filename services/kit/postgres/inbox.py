"""Inbox: the id of an event is stored with its effect, so that a redelivered event has no further effect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from services.contracts.topics import DAY_MS
from services.kit.postgres.named_queries import load_queries
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from services.kit.kafka.envelope import InboundEvent
    from services.kit.postgres.database import Database, Transaction

SQL = load_queries(Path(__file__).with_name("kit.sql"))
RETENTION_SECONDS = 8 * DAY_MS / 1000
"""One day longer than any topic retains records."""
PURGE_INTERVAL_SECONDS = 3600.0


class Inbox(Protocol):
    """Port: filters out events that were processed before."""

    async def filter_new(self, events: Sequence[InboundEvent]) -> list[InboundEvent]:
        """Record the events; return those never seen before, each once, in the given order."""
        ...


class PostgresInbox:
    """The inbox table, within a transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def filter_new(self, events: Sequence[InboundEvent]) -> list[InboundEvent]:
        """See `Inbox.filter_new`."""
        rows = await self._transaction.fetch_all(
            SQL["inbox_add"],
            companies=[event.company for event in events],
            event_ids=[event.event_id for event in events],
        )
        new_ids = {row.event_id for row in rows}
        new_events = []
        for event in events:
            if event.event_id in new_ids:
                new_ids.remove(event.event_id)
                new_events.append(event)
        return new_events


class InboxPurger:
    """Deletes, once an hour, ids of events that no topic retains any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Purge until `stop` is set."""
        while not stop.is_set():
            async with self._database.transaction() as transaction:
                await transaction.execute(SQL["inbox_purge"], retention_seconds=RETENTION_SECONDS)
                await transaction.commit()
            await sleep_unless_stopped(stop, PURGE_INTERVAL_SECONDS)
