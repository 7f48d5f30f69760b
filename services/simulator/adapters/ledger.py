"""The ledger in Postgres: what was received, written before it is answered.

Requests that arrive together share one transaction (group commit): while one is on its way to disk the next
gathers. A request is told "received" after the commit and never before; if nobody knows whether the commit
happened, the write is repeated, which changes nothing when it did, and past the deadline the caller gets no
answer rather than a wrong one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.retry import pause_before, wait_or_stop
from services.kit.sql import load_queries
from services.simulator.statuses import by_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.database import Database
    from services.simulator.statuses import Report, Send

LINGER_SECONDS = 0.1
"""A real provider answers no sooner; and what is measured shares a database with these commits."""
MOST = 500
DEADLINE_SECONDS = 20.0
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))
log = logging.getLogger(__name__)


class NotRecordedError(Exception):
    """Nobody knows whether the send was recorded: the caller must not be told anything."""


class Ledger:
    """Writes sends with their planned reports, and counts them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Send, Sequence[Report], asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def record(self, send: Send, reports: Sequence[Report]) -> None:
        """Return when the send and its reports are on disk.

        Raises:
            NotRecordedError: the database did not take it in time; it may be there all the same.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((send, reports, written))
        self._arrived.set()
        await written

    async def run(self, stop: asyncio.Event) -> None:
        """Write what gathers until told to stop and nothing waits."""
        while not (stop.is_set() and not self._waiting):
            try:
                async with asyncio.timeout(0.5):
                    await self._arrived.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(LINGER_SECONDS)
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            if not self._waiting:
                self._arrived.clear()
            await self._settle(batch, stop)

    async def _settle(
        self, batch: Sequence[tuple[Send, Sequence[Report], asyncio.Future[None]]], stop: asyncio.Event
    ) -> None:
        """Write a batch, and let its requests go on."""
        failure: Exception | None = None
        try:
            await self._write_before_deadline([(send, reports) for send, reports, _ in batch], stop)
        except Exception as error:
            log.exception("%d sends not recorded", len(batch), extra={"action": "record"})
            failure = NotRecordedError(str(error))
        for _, _, written in batch:
            if written.done():
                continue
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)

    async def _write_before_deadline(
        self, batch: Sequence[tuple[Send, Sequence[Report]]], stop: asyncio.Event
    ) -> None:
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        attempt = 1
        while True:
            try:
                return await self._write(batch)
            except TemporaryError:
                attempt += 1
                pause = pause_before(attempt)
                late = asyncio.get_running_loop().time() + pause > deadline
                if late or await wait_or_stop(stop, pause):
                    raise

    async def _write(self, batch: Sequence[tuple[Send, Sequence[Report]]]) -> None:
        sends = [send for send, _ in batch]
        async with self._database.work() as work:
            recorded = await work.rows(
                SQL["record_sends"],
                ids=[send.id for send in sends],
                trackers=[send.tracker for send in sends],
                numbers=[send.phone_number_id for send in sends],
                wamids=[send.wamid for send in sends],
                times=[send.received_at for send in sends],
            )
            new = {row.id for row in recorded}
            moments = by_moment((send, each) for send, reports in batch if send.id in new for each in reports)
            if moments:
                await work.run(
                    SQL["plan_callbacks"],
                    times=list(moments),
                    statuses=[json.dumps(statuses) for statuses in moments.values()],
                )
            await work.commit()

    async def received(self, trackers: Sequence[str]) -> dict[str, int]:
        """Return how often each of these messages was received; 0 for those that never were."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["count_received"], trackers=list(trackers))
        return dict.fromkeys(trackers, 0) | {row.tracker: row.received for row in rows}

    async def times(self, trackers: Sequence[str]) -> dict[str, list[float]]:
        """Return when each of these messages was received (Unix seconds), once for each time it was."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["receipts"], trackers=list(trackers))
        found: dict[str, list[float]] = {tracker: [] for tracker in trackers}
        for row in rows:
            found[row.tracker].append(row.received_at.timestamp())
        return found

    async def summary(self) -> dict[str, int]:
        """Return requests received, different messages among them, and callbacks not yet delivered."""
        async with self._database.work() as work:
            row = await work.row(SQL["summary"])
        return dict(row._mapping) if row is not None else {}  # noqa: SLF001 - SQLAlchemy's documented way to a dict
