"""The outbox: events are written in the transaction of what they tell, and a relay brings them to Kafka.

Order: a key always falls in the same lane, a lane belongs to one relay at a time (row lock), and a relay
publishes a lane's events by their id. So events of one key keep the order of their ids, provided their
writers held the lock of the thing the key names, as they do when they update its row first. A relay that dies
between the brokers' acknowledgement and its commit leaves the events to the next: delivered twice, and
suppressed by each inbox.

No event is deleted. A lane remembers the snapshot up to which it is published: what became visible since is
what is to be published next, however late its transaction committed. Segments of the table take turns, and
one that is published is emptied whole, which leaves nothing to vacuum.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import Counter as Counts
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import Counter, Gauge
from sqlalchemy import text

from services.kit import trace
from services.kit.errors import TemporaryError
from services.kit.kafka import Record
from services.kit.retry import wait_or_stop
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
BATCH = 256
"""Events a relay takes at once, hardly more than 8 MB: each tells 32 KB at most, or one message."""
PAUSE_SECONDS = 0.3
"""Between two looks: a batch costs five statements and a round trip to the brokers, however small."""
EMPTY_SECONDS = 5.0
"""Between two looks for a segment to be emptied, and between two measurements under load."""
LOCK = text("SET LOCAL lock_timeout = '500ms'")
"""Other relays wait behind who waits for a segment, so that is not long; the next look has more luck."""
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
            traceparent=trace.traceparent(),
        )


def lane_of(key: str) -> int:
    """Return the lane of a key: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % LANES


class Relay:
    """Brings events from the outbox to Kafka. Any number may run; each lane is served by one at a time."""

    def __init__(
        self, database: Database, publisher: Publisher, *, batch: int = BATCH, pause: float = PAUSE_SECONDS
    ) -> None:
        """Set it up.

        Args:
            database: where the outbox is.
            publisher: the way to Kafka.
            batch: most events that go out together.
            pause: seconds in which events gather; `wake` ends a pause in which there were none.
        """
        self._database = database
        self._publisher = publisher
        self._batch = batch
        self._pause = pause
        self._awake = asyncio.Event()
        self._look_at = 0.0

    def wake(self) -> None:
        """Look at once: this process has just committed events."""
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until told to stop.

        Raises:
            TemporaryError: database or brokers are away; the caller starts it again.
        """
        while not stop.is_set():
            published = await self.step()
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + EMPTY_SECONDS
                await self._measure()
                await self.empty()
            if not published:
                await self._rest()
            elif published < self._batch:
                await wait_or_stop(stop, self._pause)

    async def step(self) -> int:
        """Publish one batch of free lanes; return how many events went out."""
        async with self._database.work() as work:
            claimed = await work.rows(SQL["outbox_claim_lanes"], lanes=CLAIM)
            if not claimed:
                return 0
            lanes, most = [row.lane for row in claimed], self._batch // len(claimed)
            rows = await work.rows(SQL["outbox_read"], lanes=lanes, most=most)
            records = [_record(row) for row in rows if row.id is not None]
            if records:
                await self._publisher.publish(records)
            await _advance(work, rows, most, claimed[0].highest)
            await work.commit()
        PUBLISHED.inc(len(records))
        log.debug("Published %d events", len(records), extra={"action": "relay", "events": len(records)})
        return len(records)

    async def empty(self) -> bool:
        """Empty the segment whose turn is next, if everything in it is published; tell whether it was."""
        async with self._database.work() as work:
            row = await work.row(SQL["outbox_oldest_segment"])
        if row is None:
            return False
        try:
            return await self._empty(f"outbox_{row.segment}")
        except TemporaryError as error:
            log.info("%s is not emptied yet: %s", f"outbox_{row.segment}", error, extra={"action": "empty"})
            return False

    async def _empty(self, segment: str) -> bool:
        async with self._database.work() as work:
            await work.run(LOCK)
            # No writer is in it from here on, so what is not to be seen now never will be.
            await work.run(text(f"LOCK TABLE {segment} IN ACCESS EXCLUSIVE MODE"))
            unpublished = await work.row(
                text(
                    f"SELECT o.id FROM {segment} o JOIN outbox_lane l ON l.lane = o.lane"  # noqa: S608 - a name of ours
                    " WHERE NOT pg_visible_in_snapshot(o.xid, l.done) LIMIT 1"
                )
            )
            if unpublished is None:
                await work.run(text(f"TRUNCATE {segment}"))
                await work.commit()
        return unpublished is None

    async def _measure(self) -> None:
        """Tell metrics what still waits."""
        async with self._database.work() as work:
            row = await work.row(SQL["outbox_waiting"])
        if row is not None:
            WAITING.set(row.waiting)
            OLDEST.set(float(row.seconds))

    async def _rest(self) -> None:
        """Wait for a wake, at most the pause."""
        self._awake.clear()
        try:
            async with asyncio.timeout(self._pause):
                await self._awake.wait()
        except TimeoutError:
            return


async def _advance(work: Work, rows: Sequence[Row[Any]], most: int, highest: int) -> None:
    """Write how far each lane is: up to its last event in here, or to the end of what could be seen."""
    counts = Counts(row.lane for row in rows)
    last = {row.lane: row for row in rows}
    partly = [row for row in last.values() if counts[row.lane] == most]
    wholly = [row for row in last.values() if counts[row.lane] < most]
    if partly:
        lanes, uptos = _columns(partly)
        await work.run(SQL["outbox_advance"], lanes=lanes, uptos=uptos, positions=[row.id for row in partly])
    if wholly:
        lanes, uptos = _columns(wholly)
        await work.run(SQL["outbox_finish"], lanes=lanes, uptos=uptos, highest=highest)


def _columns(rows: Sequence[Row[Any]]) -> tuple[list[int], list[str]]:
    return [row.lane for row in rows], [row.upto for row in rows]


def _record(row: Row[Any]) -> Record:
    """Turn an outbox row into a Kafka record."""
    headers = {trace.HEADER: row.traceparent} if row.traceparent else {}
    return Record(row.topic, row.key, row.payload, headers)
