"""The outbox: events are written in the transaction of what they tell, and a relay brings them to Kafka.

Order: a key always falls in the same lane, a lane belongs to one relay at a time (row lock), and a relay
publishes a lane's events by their id. So events of one key keep the order of their ids, provided their
writers held the lock of the thing the key names, as they do when they update its row first. A relay that dies
between the brokers' acknowledgement and its delete leaves the events to the next: delivered twice, and
suppressed by each inbox.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge

from services.kit.kafka import Record
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.kit.events import Outgoing
    from services.kit.kafka import Publisher

LANES = 8
CLAIM = 4
"""Lanes a relay takes at once, so that two relays share the work."""
BATCH = 500
IDLE_SECONDS = 0.2
"""Between two looks at an empty outbox; `Relay.wake` cuts it short."""
SQL = load_queries(Path(__file__).with_name("kit.sql"))
PUBLISHED = Counter("esq_outbox_published", "Events brought to Kafka")
WAITING = Gauge("esq_outbox_waiting", "Events in the outbox, counted up to 10000")
OLDEST = Gauge("esq_outbox_oldest_seconds", "Age of the oldest event in the outbox")
log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Port: where a handler puts the events of its transaction."""

    async def add(self, events: Sequence[Outgoing]) -> None:
        """Store the events with the effect they tell."""
        ...


class PostgresOutbox:
    """The outbox table, in the unit of work that it is given."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def add(self, events: Sequence[Outgoing]) -> None:
        """See `Outbox`."""
        if not events:
            return
        await self._work.run(
            SQL["outbox_add"],
            lanes=[lane_of(event.key) for event in events],
            companies=[event.company for event in events],
            event_ids=[event.event_id for event in events],
            topics=[event.topic.name for event in events],
            keys=[event.key for event in events],
            payloads=[event.encode() for event in events],
        )


def lane_of(key: str) -> int:
    """Return the lane of a key: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % LANES


class Relay:
    """Brings events from the outbox to Kafka. Any number may run; each lane is served by one at a time."""

    def __init__(self, database: Database, publisher: Publisher, *, batch: int = BATCH) -> None:
        self._database = database
        self._publisher = publisher
        self._batch = batch
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look at once: this process has just committed events."""
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop.

        Raises:
            TemporaryError: database or brokers are away; the caller starts it again.
        """
        while not stop.is_set():
            if await self.step() == 0:
                await self._measure()
                await self._rest()

    async def step(self) -> int:
        """Publish one batch of free lanes; return how many events went out."""
        async with self._database.work() as work:
            lanes = [row.lane for row in await work.rows(SQL["outbox_claim_lanes"], lanes=CLAIM)]
            rows = await work.rows(SQL["outbox_read"], lanes=lanes, most=self._batch) if lanes else []
            if not rows:
                return 0
            await self._publisher.publish([_record(row) for row in rows])
            await work.run(SQL["outbox_delete"], lanes=lanes, ids=[row.id for row in rows])
            await work.commit()
        PUBLISHED.inc(len(rows))
        log.debug("Published %d events", len(rows), extra={"action": "relay", "events": len(rows)})
        return len(rows)

    async def _measure(self) -> None:
        """Tell metrics what still waits (in lanes that others hold)."""
        async with self._database.work() as work:
            row = await work.row(SQL["outbox_age"])
        if row is not None:
            WAITING.set(row.waiting)
            OLDEST.set(float(row.seconds))

    async def _rest(self) -> None:
        """Wait for a wake, at most the idle pause."""
        self._awake.clear()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._awake.wait()
        except TimeoutError:
            return


def _record(row: Row[tuple[int, int, str, str, bytes]]) -> Record:
    """Turn an outbox row into a Kafka record."""
    return Record(topic=row.topic, key=row.key, payload=row.payload)
