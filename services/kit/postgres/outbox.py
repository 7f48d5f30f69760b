"""Transactional outbox: events are stored in the transaction of their effect; a relay publishes them.

Order: a key always maps to the same shard, a shard belongs to one relay at a time (row lock), and a relay
publishes the events of a shard by id. So events of one key keep the order of their ids, provided their
writers hold the lock of the entity that the key names, as they do when they update its row first. A relay
that dies between the brokers' acknowledgement and its commit leaves the events to the next relay: they are
delivered twice, and each inbox filters out the second delivery.

No event is deleted. A shard stores the snapshot up to which it is published: events that became visible since
are published next, however late their transaction committed. The table has segments that are written in
rotation; a published segment is truncated, which leaves nothing to vacuum.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import Counter as Counts
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import text

from services.contracts import telemetry
from services.kit.errors import TemporaryError
from services.kit.kafka.client import Record
from services.kit.observability import tracing
from services.kit.observability.metrics import counter, gauge
from services.kit.postgres.named_queries import load_queries
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.kafka.client import Publisher
    from services.kit.kafka.envelope import OutboundEvent
    from services.kit.postgres.database import Database, Transaction

SHARD_COUNT = 8
SHARDS_PER_CLAIM = 4
"""Shards that a relay locks per batch, so that two relays share the work."""
BATCH_SIZE = 256
"""Events per batch, about 8 MB at most: an event is limited to 32 KB, or contains one message."""
POLL_INTERVAL_SECONDS = 0.3
"""A batch costs five statements and a round trip to the brokers, however small it is."""
TRUNCATE_INTERVAL_SECONDS = 5.0
"""Interval of truncations, and of measurements under load."""
SET_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '500ms'")
"""Other relays queue behind a lock request for a segment, so it waits briefly and is repeated later."""
SQL = load_queries(Path(__file__).with_name("kit.sql"))
PUBLISHED = counter(telemetry.OUTBOX_PUBLISHED)
PENDING = gauge(telemetry.OUTBOX_PENDING)
OLDEST_AGE = gauge(telemetry.OUTBOX_OLDEST_AGE)
log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Port: where a handler adds the events of its transaction."""

    async def add(self, events: Sequence[OutboundEvent]) -> None:
        """Store the events in the transaction of their effect."""
        ...


class PostgresOutbox:
    """The outbox table, within a transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, events: Sequence[OutboundEvent]) -> None:
        """See `Outbox.add`."""
        if not events:
            return
        await self._transaction.execute(
            SQL["outbox_add"],
            shards=[shard_of(event.key) for event in events],
            companies=[event.company for event in events],
            event_ids=[event.event_id for event in events],
            topics=[event.topic.name for event in events],
            keys=[event.key for event in events],
            payloads=[event.encode() for event in events],
            traceparent=tracing.current_traceparent(),
        )


def shard_of(key: str) -> int:
    """Return the shard of a key; it is the same in every process and must never change."""
    return zlib.crc32(key.encode()) % SHARD_COUNT


class OutboxRelay:
    """Publishes events from the outbox to Kafka. Any number may run; each locks other shards."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        *,
        batch_size: int = BATCH_SIZE,
        poll_interval_seconds: float = POLL_INTERVAL_SECONDS,
    ) -> None:
        """Configure the relay.

        Args:
            database: database that contains the outbox.
            publisher: publishes records to Kafka.
            batch_size: upper bound of events per batch.
            poll_interval_seconds: delay in which events accumulate; `notify` ends one after an empty batch.
        """
        self._database = database
        self._publisher = publisher
        self._batch_size = batch_size
        self._poll_interval_seconds = poll_interval_seconds
        self._notified = asyncio.Event()
        self._next_maintenance_at = 0.0

    def notify(self) -> None:
        """Poll now: this process has committed events."""
        self._notified.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set.

        Raises:
            TemporaryError: the database or the brokers are unavailable; the caller restarts the relay.
        """
        while not stop.is_set():
            published = await self.publish_batch()
            if time.monotonic() >= self._next_maintenance_at:
                self._next_maintenance_at = time.monotonic() + TRUNCATE_INTERVAL_SECONDS
                await self._measure()
                await self.truncate_segment()
            if not published:
                await self._wait_for_notification()
            elif published < self._batch_size:
                await sleep_unless_stopped(stop, self._poll_interval_seconds)

    async def publish_batch(self) -> int:
        """Publish one batch of unlocked shards; return the number of events."""
        async with self._database.transaction() as transaction:
            claimed = await transaction.fetch_all(SQL["outbox_claim_shards"], shards=SHARDS_PER_CLAIM)
            if not claimed:
                return 0
            shards, limit_per_shard = [row.shard for row in claimed], self._batch_size // len(claimed)
            rows = await transaction.fetch_all(
                SQL["outbox_read"], shards=shards, limit_per_shard=limit_per_shard
            )
            records = [_record(row) for row in rows if row.id is not None]
            if records:
                await self._publisher.publish(records)
            await _save_cursors(transaction, rows, limit_per_shard, claimed[0].highest_id)
            await transaction.commit()
        PUBLISHED.inc(len(records))
        log.debug(
            "Published %d events", len(records), extra={"action": "publish_batch", "events": len(records)}
        )
        return len(records)

    async def truncate_segment(self) -> bool:
        """Truncate the segment that is written next if all of it is published; return whether it was."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one(SQL["outbox_oldest_segment"])
        if row is None:
            return False
        try:
            return await self._truncate_if_published(row.segment)
        except TemporaryError as error:
            log.info(
                "Segment %d not truncated yet: %s", row.segment, error, extra={"action": "truncate_segment"}
            )
            return False

    async def _truncate_if_published(self, number: int) -> bool:
        segment = f"outbox_{number}"
        async with self._database.transaction() as transaction:
            await transaction.execute(SET_LOCK_TIMEOUT)
            # No transaction writes to the segment from here on, so no further row becomes visible in it.
            await transaction.execute(text(f"LOCK TABLE {segment} IN ACCESS EXCLUSIVE MODE"))
            unpublished = await transaction.fetch_one(SQL["outbox_unpublished"], segment=number)
            if unpublished is None:
                await transaction.execute(text(f"TRUNCATE {segment}"))
                await transaction.commit()
        return unpublished is None

    async def _measure(self) -> None:
        """Export the metrics of pending events."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one(SQL["outbox_pending"])
        if row is not None:
            PENDING.set(row.events)
            OLDEST_AGE.set(float(row.oldest_age_seconds))

    async def _wait_for_notification(self) -> None:
        """Wait for `notify`, at most the polling interval."""
        self._notified.clear()
        await sleep_unless_stopped(self._notified, self._poll_interval_seconds)


async def _save_cursors(
    transaction: Transaction, rows: Sequence[Row[Any]], limit_per_shard: int, highest_id: int
) -> None:
    """Save the position of each shard: its last event in this batch, or the end of the snapshot."""
    counts = Counts(row.shard for row in rows)
    last_rows = {row.shard: row for row in rows}
    partial = [row for row in last_rows.values() if counts[row.shard] == limit_per_shard]
    complete = [row for row in last_rows.values() if counts[row.shard] < limit_per_shard]
    if partial:
        shards, snapshots = _columns(partial)
        positions = [row.id for row in partial]
        await transaction.execute(
            SQL["outbox_checkpoint_batch"], shards=shards, snapshots=snapshots, positions=positions
        )
    if complete:
        shards, snapshots = _columns(complete)
        await transaction.execute(
            SQL["outbox_complete_snapshot"], shards=shards, snapshots=snapshots, highest_id=highest_id
        )


def _columns(rows: Sequence[Row[Any]]) -> tuple[list[int], list[str]]:
    return [row.shard for row in rows], [row.snapshot for row in rows]


def _record(row: Row[Any]) -> Record:
    """Convert an outbox row to a Kafka record."""
    headers = {tracing.TRACEPARENT_HEADER: row.traceparent} if row.traceparent else {}
    return Record(row.topic, row.key, row.payload, headers)
