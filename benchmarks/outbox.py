"""Two outbox designs on one Postgres: deleting rows, and snapshots with truncated segments.

Both designs have the same writer at a constant rate, while one relay publishes to a null publisher: only the
database is measured. Then the relay drains a backlog as fast as possible. Both are repeated while another
transaction holds an old snapshot, as a long report or a dump does, which prevents vacuum. Time is compressed
by ten for both: segments rotate every 2 s instead of 20, autovacuum runs every 6 s instead of 60.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from sqlalchemy import text

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1.events_pb2 import MessageAccepted, MessageStatusesUpdated, MessageStatusUpdate
from services.kit.ids import uuid7
from services.kit.kafka.client import Record
from services.kit.kafka.envelope import OutboundEvent
from services.kit.postgres import outbox as kit
from services.kit.postgres.database import Database, create_engine
from services.kit.postgres.outbox import SHARDS_PER_CLAIM, OutboxRelay, PostgresOutbox, shard_of
from services.kit.postgres.schema import OUTBOX
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.servers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


SECONDS = 8.0
RATE = 2000
"""Events per second of the writer, in transactions of `BATCH`."""
BATCH = 50
BACKLOG = 60_000
BACKLOG_BATCH = 1000
TIME_COMPRESSION = 10
SAMPLE_INTERVAL_SECONDS = 0.5
POLL_INTERVAL_SECONDS = 0.02
DELETING_TABLES = (
    """CREATE TABLE outbox (
        shard smallint NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        company text NOT NULL,
        event_id uuid NOT NULL,
        topic text NOT NULL,
        key text NOT NULL,
        payload bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (shard, id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)""",
    "CREATE TABLE outbox_shard (shard smallint PRIMARY KEY)",
    "INSERT INTO outbox_shard SELECT generate_series(0, 7)",
)
ADD = text(
    "INSERT INTO outbox (shard, company, event_id, topic, key, payload) SELECT * FROM unnest("
    "CAST(:shards AS smallint[]), CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:topics AS text[]),"
    " CAST(:keys AS text[]), CAST(:payloads AS bytea[]))"
)
CLAIM_SHARDS = text(
    "SELECT s.shard FROM outbox_shard s WHERE EXISTS (SELECT FROM outbox o WHERE o.shard = s.shard)"
    " ORDER BY random() LIMIT :shards FOR UPDATE OF s SKIP LOCKED"
)
READ = text(
    "SELECT id, shard, topic, key, payload FROM outbox WHERE shard = ANY(CAST(:shards AS smallint[]))"
    " ORDER BY id LIMIT :max_events"
)
DELETE = text(
    "DELETE FROM outbox WHERE shard = ANY(CAST(:shards AS smallint[])) AND id = ANY(CAST(:ids AS bigint[]))"
)
SIZE = text(
    "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname LIKE 'outbox%'"
)


class NullPublisher:
    """Acknowledges immediately."""

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher`."""


class DeletingOutbox:
    """Published rows are deleted."""

    name = "deleting"
    tables = DELETING_TABLES

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[OutboundEvent]) -> None:
        """Write the events of a transaction."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                ADD,
                shards=[shard_of(event.key) for event in events],
                companies=[event.company for event in events],
                ids=[event.event_id for event in events],
                topics=[event.topic.name for event in events],
                keys=[event.key for event in events],
                payloads=[event.encode() for event in events],
            )
            await transaction.commit()

    async def publish_batch(self) -> int:
        """Publish a batch; return the number of events."""
        async with self._database.transaction() as transaction:
            shards = [row.shard for row in await transaction.fetch_all(CLAIM_SHARDS, shards=SHARDS_PER_CLAIM)]
            rows = (
                await transaction.fetch_all(READ, shards=shards, max_events=kit.BATCH_SIZE) if shards else []
            )
            if rows:
                await NullPublisher().publish([Record(row.topic, row.key, row.payload) for row in rows])
                await transaction.execute(DELETE, shards=shards, ids=[row.id for row in rows])
                await transaction.commit()
        return len(rows)

    async def truncate(self) -> None:
        """Do nothing: autovacuum cleans up."""


class SegmentedOutbox:
    """Shards store snapshots; segments are truncated."""

    name = "segmented"
    tables = tuple(statement.replace("/ 20 %", f"/ {20 // TIME_COMPRESSION} %") for statement in OUTBOX)

    def __init__(self, database: Database) -> None:
        self._database = database
        self._relay = OutboxRelay(database, NullPublisher())

    async def add(self, events: Sequence[OutboundEvent]) -> None:
        """Write the events of a transaction."""
        async with self._database.transaction() as transaction:
            await PostgresOutbox(transaction).add(events)
            await transaction.commit()

    async def publish_batch(self) -> int:
        """Publish a batch; return the number of events."""
        return await self._relay.publish_batch()

    async def truncate(self) -> None:
        """Truncate a segment if one is due."""
        await self._relay.truncate_segment()


def create_events(count: int) -> list[OutboundEvent]:
    """Return events of a typical size, each with its own key."""
    return [_create_event(str(uuid7())) for _ in range(count)]


def _create_event(key: str) -> OutboundEvent:
    update = MessageStatusUpdate(accepted=MessageAccepted(message_id=key, provider_id="w" * 60))
    return OutboundEvent.create(MESSAGE_STATUS, key, "acme", MessageStatusesUpdated(updates=[update]))


async def write(design: DeletingOutbox | SegmentedOutbox, deadline: float) -> int:
    """Write events at the constant rate.

    Args:
        design: the outbox.
        deadline: end, on the monotonic clock.

    Returns:
        The number of events.
    """
    written, started_at = 0, time.monotonic()
    while time.monotonic() < deadline:
        await design.add(create_events(BATCH))
        written += BATCH
        await asyncio.sleep(max(0.0, started_at + written / RATE - time.monotonic()))
    return written


async def relay(design: DeletingOutbox | SegmentedOutbox, stop: Callable[[], bool]) -> tuple[int, float]:
    """Publish until stopped and the outbox is empty.

    Args:
        design: the outbox.
        stop: returns whether to stop.

    Returns:
        The number of events, and the seconds spent publishing.
    """
    published, busy_seconds, truncated_at = 0, 0.0, time.monotonic()
    while True:
        started_at, stopping = time.monotonic(), stop()
        count = await design.publish_batch()
        busy_seconds += time.monotonic() - started_at if count else 0.0
        published += count
        if time.monotonic() - truncated_at > kit.TRUNCATE_INTERVAL_SECONDS / TIME_COMPRESSION:
            truncated_at = time.monotonic()
            await design.truncate()
        if not count:
            if stopping:
                return published, busy_seconds
            await asyncio.sleep(POLL_INTERVAL_SECONDS)


async def sample_sizes(database: Database, deadline: float) -> list[int]:
    """Return samples of the size of the outbox, bytes.

    Args:
        database: the database.
        deadline: end, on the monotonic clock.
    """
    sizes = []
    while time.monotonic() < deadline:
        async with database.transaction() as transaction:
            row = await transaction.fetch_one(SIZE)
        sizes.append(int(row[0]) if row else 0)
        await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
    return sizes


@asynccontextmanager
async def old_snapshot(database: Database) -> AsyncIterator[None]:
    """Hold a snapshot, as a report does, without the kit's timeout of idle transactions."""
    async with database.transaction() as transaction:
        await transaction.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await transaction.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await transaction.fetch_all(text("SELECT 1"))
        yield


async def measure(design: DeletingOutbox | SegmentedOutbox, database: Database) -> dict[str, Any]:
    """Write and relay concurrently, then drain a backlog.

    Args:
        design: the outbox.
        database: its database.

    Returns:
        The results by name.
    """
    wal = await _wal_position(database)
    deadline = time.monotonic() + SECONDS
    writing = asyncio.create_task(write(design, deadline))
    (published, busy_seconds), sizes = await asyncio.gather(
        relay(design, writing.done), sample_sizes(database, deadline)
    )
    written = await writing
    if written != published:
        raise AssertionError(f"{written} written, {published} published")
    results = {
        "relay_ms_per_1000": round(busy_seconds / published * 1e6, 1),
        "wal_bytes_per_event": round((await _wal_position(database) - wal) / written),
        "max_mib": round(max(sizes) / 2**20, 1),
        "final_mib": round(sizes[-1] / 2**20, 1),
    }
    for _ in range(BACKLOG // BACKLOG_BATCH):
        await design.add(create_events(BACKLOG_BATCH))
    drained, seconds = await relay(design, lambda: True)
    return {**results, "backlog_events_per_second": round(drained / seconds)}


async def _wal_position(database: Database) -> int:
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
    return int(row[0]) if row else 0


async def run(server: Postgres) -> dict[str, Any]:
    """Measure both designs, with and without an old snapshot."""
    results: dict[str, Any] = {}
    for with_old_snapshot in (False, True):
        for design in (DeletingOutbox, SegmentedOutbox):
            name = f"{design.name}{'_old_snapshot' if with_old_snapshot else ''}"
            server.execute(f"CREATE SCHEMA {name}")
            settings = DatabaseSettings(database_url=SecretStr(server.url()))
            database = Database(create_engine(ProcessSettings(service=name), settings))
            for statement in design.tables:
                async with database.transaction() as transaction:
                    await transaction.execute(text(statement))
                    await transaction.commit()
            if with_old_snapshot:
                async with old_snapshot(database):
                    results[name] = await measure(design(database), database)
            else:
                results[name] = await measure(design(database), database)
            await database.close()
    return results


def main() -> None:
    """Print the results as JSON."""
    query = str(kit.SQL["outbox_oldest_segment"]).replace("/ 20 +", f"/ {20 // TIME_COMPRESSION} +")
    kit.SQL["outbox_oldest_segment"] = text(query)
    server = Postgres()
    try:
        server.start()
        server.execute(f"ALTER SYSTEM SET autovacuum_naptime = '{60 // TIME_COMPRESSION}s'")
        server.execute("SELECT pg_reload_conf()")
        results = asyncio.run(run(server))
    finally:
        server.stop()
    json.dump(results, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
