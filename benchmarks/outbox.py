"""The outbox by deleted rows (before) and by snapshots and segments (after), side by side on one Postgres.

Each design is driven by the same writer, at a pace, while one relay publishes into nothing: what is measured
is the database's part. Then it drains a backlog as fast as it can. Both are done once more while somebody
holds an old snapshot, as a long report or a dump does, which forbids vacuuming. Time is pressed together by
ten, for both: segments take turns of 2 s instead of 20, autovacuum looks every 6 s instead of 60.
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
from services.contracts.v1.events_pb2 import MessageAccepted
from services.kit import outbox as kit
from services.kit.database import Database, create_engine
from services.kit.events import Outgoing
from services.kit.ids import uuid7
from services.kit.kafka import Record
from services.kit.outbox import CLAIM, PostgresOutbox, Relay, lane_of
from services.kit.schema import OUTBOX_V1, OUTBOX_V2
from services.kit.settings import DatabaseSettings, ProcessSettings
from tests.controllers.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


SECONDS = 8.0
PACE = 2000
"""Events per second of the writer, in transactions of `BATCH`."""
BATCH = 50
BACKLOG = 60_000
PRESSED = 10
SAMPLE_SECONDS = 0.5
ADD = text(
    "INSERT INTO outbox (lane, company, event_id, topic, key, payload) SELECT * FROM unnest("
    "CAST(:lanes AS smallint[]), CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:topics AS text[]),"
    " CAST(:keys AS text[]), CAST(:payloads AS bytea[]))"
)
CLAIM_LANES = text(
    "SELECT l.lane FROM outbox_lane l WHERE EXISTS (SELECT FROM outbox o WHERE o.lane = l.lane)"
    " ORDER BY random() LIMIT :lanes FOR UPDATE OF l SKIP LOCKED"
)
READ = text(
    "SELECT id, lane, topic, key, payload FROM outbox WHERE lane = ANY(CAST(:lanes AS smallint[]))"
    " ORDER BY id LIMIT :most"
)
DELETE = text(
    "DELETE FROM outbox WHERE lane = ANY(CAST(:lanes AS smallint[])) AND id = ANY(CAST(:ids AS bigint[]))"
)
SIZE = text(
    "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname LIKE 'outbox%'"
)


class Nowhere:
    """Acknowledges at once."""

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher`."""


class Before:
    """Rows are deleted when they are published."""

    tables = OUTBOX_V1

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[Outgoing]) -> None:
        """Write a transaction's events."""
        async with self._database.work() as work:
            await work.run(
                ADD,
                lanes=[lane_of(event.key) for event in events],
                companies=[event.company for event in events],
                ids=[event.event_id for event in events],
                topics=[event.topic.name for event in events],
                keys=[event.key for event in events],
                payloads=[event.encode() for event in events],
            )
            await work.commit()

    async def step(self) -> int:
        """Publish a batch."""
        async with self._database.work() as work:
            lanes = [row.lane for row in await work.rows(CLAIM_LANES, lanes=CLAIM)]
            rows = await work.rows(READ, lanes=lanes, most=kit.BATCH) if lanes else []
            if rows:
                await Nowhere().publish([Record(row.topic, row.key, row.payload) for row in rows])
                await work.run(DELETE, lanes=lanes, ids=[row.id for row in rows])
                await work.commit()
        return len(rows)

    async def tidy(self) -> None:
        """Autovacuum does it."""


class After:
    """Lanes remember snapshots; segments are emptied whole."""

    tables = (
        *OUTBOX_V1,
        *(statement.replace("/ 20 %", f"/ {20 // PRESSED} %") for statement in OUTBOX_V2),
    )

    def __init__(self, database: Database) -> None:
        self._database = database
        self._relay = Relay(database, Nowhere())

    async def add(self, events: Sequence[Outgoing]) -> None:
        """Write a transaction's events."""
        async with self._database.work() as work:
            await PostgresOutbox(work).add(events)
            await work.commit()

    async def step(self) -> int:
        """Publish a batch."""
        return await self._relay.step()

    async def tidy(self) -> None:
        """Empty a segment, if one is due."""
        await self._relay.empty()


def events(count: int) -> list[Outgoing]:
    """Return events of a size that is common, each with a key of its own."""
    return [
        Outgoing.of(MESSAGE_STATUS, key, "acme", MessageAccepted(message_id=key, provider_id="w" * 60))
        for key in (str(uuid7()) for _ in range(count))
    ]


async def write(design: Before | After, until: float) -> int:
    """Write at the pace; return how many events."""
    written, began = 0, time.monotonic()
    while time.monotonic() < until:
        await design.add(events(BATCH))
        written += BATCH
        await asyncio.sleep(max(0.0, began + written / PACE - time.monotonic()))
    return written


async def relay(design: Before | After, stop: Callable[[], bool]) -> tuple[int, float]:
    """Publish until told to stop and nothing is left; return how many, and the seconds that took."""
    published, busy, tidied = 0, 0.0, time.monotonic()
    while True:
        began, ending = time.monotonic(), stop()
        found = await design.step()
        busy += time.monotonic() - began if found else 0.0
        published += found
        if time.monotonic() - tidied > kit.EMPTY_SECONDS / PRESSED:
            tidied = time.monotonic()
            await design.tidy()
        if not found:
            if ending:
                return published, busy
            await asyncio.sleep(0.02)


async def sizes(database: Database, until: float) -> list[int]:
    """Return the bytes of the outbox, sampled."""
    found = []
    while time.monotonic() < until:
        async with database.work() as work:
            row = await work.row(SIZE)
        found.append(int(row[0]) if row else 0)
        await asyncio.sleep(SAMPLE_SECONDS)
    return found


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[None]:
    """Hold a snapshot, as a report does; the kit's limit on idle transactions is off for it."""
    async with database.work() as work:
        await work.run(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await work.run(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await work.rows(text("SELECT 1"))
        yield


async def measure(design: Before | After, database: Database) -> dict[str, Any]:
    """Write and relay side by side, then drain a backlog."""
    wal = await _wal(database)
    end = time.monotonic() + SECONDS
    writing = asyncio.create_task(write(design, end))
    (published, busy), sampled = await asyncio.gather(relay(design, writing.done), sizes(database, end))
    written = await writing
    if written != published:
        raise AssertionError(f"{written} written, {published} published")
    figures = {
        "relay_ms_per_1000": round(busy / published * 1e6, 1),
        "wal_bytes_per_event": round((await _wal(database) - wal) / written),
        "mib_at_most": round(max(sampled) / 2**20, 1),
        "mib_at_the_end": round(sampled[-1] / 2**20, 1),
    }
    for _ in range(BACKLOG // 1000):
        await design.add(events(1000))
    drained, seconds = await relay(design, lambda: True)
    return {**figures, "backlog_events_per_second": round(drained / seconds)}


async def _wal(database: Database) -> int:
    async with database.work() as work:
        row = await work.row(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
    return int(row[0]) if row else 0


async def run(server: Postgres) -> dict[str, Any]:
    """Measure both designs, with and without an old snapshot."""
    found: dict[str, Any] = {}
    for held in (False, True):
        for kind in (Before, After):
            name = f"{kind.__name__.lower()}{'_held' if held else ''}"
            server.execute(f"CREATE SCHEMA {name}")
            settings = DatabaseSettings(database_url=SecretStr(server.url()))
            database = Database(create_engine(ProcessSettings(service=name), settings))
            for statement in kind.tables:
                async with database.work() as work:
                    await work.run(text(statement))
                    await work.commit()
            if held:
                async with snapshot(database):
                    found[name] = await measure(kind(database), database)
            else:
                found[name] = await measure(kind(database), database)
            await database.close()
    return found


def main() -> None:
    """Print the figures as JSON."""
    turn = str(kit.SQL["outbox_oldest_segment"]).replace("/ 20 +", f"/ {20 // PRESSED} +")
    kit.SQL["outbox_oldest_segment"] = text(turn)
    server = Postgres()
    try:
        server.start()
        server.execute(f"ALTER SYSTEM SET autovacuum_naptime = '{60 // PRESSED}s'")
        server.execute("SELECT pg_reload_conf()")
        found = asyncio.run(run(server))
    finally:
        server.stop()
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
