"""The ledger writer records messages before they are answered.

Requests that arrive together share one transaction (group commit): while one commits, the next gathers. A
message is acknowledged after the commit, never before. When the outcome of a commit is unknown, the write is
repeated, which changes nothing if it had succeeded. After the timeout the client gets no response rather than
a wrong one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.retry import backoff_seconds, sleep_unless_stopped
from services.simulator.ports import LedgerWriteUnknownError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.simulator.domain.statuses import PlannedStatus, ReceivedMessage
    from services.simulator.ports import LedgerStore

    Entry = tuple[ReceivedMessage, Sequence[PlannedStatus], asyncio.Future[None]]

LINGER_SECONDS = 0.1
"""A real provider responds no sooner; and the system under test shares a database with these commits."""
BATCH_SIZE = 500
POLL_INTERVAL_SECONDS = 0.5
WRITE_TIMEOUT_SECONDS = 20.0
log = logging.getLogger(__name__)


class LedgerWriter:
    """See `ports.Ledger`. `run` is its background task."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self._pending: list[Entry] = []
        self._has_pending = asyncio.Event()

    async def record(self, message: ReceivedMessage, statuses: Sequence[PlannedStatus]) -> None:
        """See `ports.Ledger.record`."""
        future = asyncio.get_running_loop().create_future()
        self._pending.append((message, statuses, future))
        self._has_pending.set()
        await future

    async def run(self, stop: asyncio.Event) -> None:
        """Write batches until stopped and nothing is pending."""
        while not (stop.is_set() and not self._pending):
            try:
                async with asyncio.timeout(POLL_INTERVAL_SECONDS):
                    await self._has_pending.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(LINGER_SECONDS)
            batch, self._pending = self._pending[:BATCH_SIZE], self._pending[BATCH_SIZE:]
            if not self._pending:
                self._has_pending.clear()
            await self._write(batch, stop)

    async def _write(self, batch: Sequence[Entry], stop: asyncio.Event) -> None:
        """Write a batch and resume its requests."""
        failure: Exception | None = None
        try:
            await self._save([(message, statuses) for message, statuses, _ in batch], stop)
        except Exception as error:
            log.exception("%d messages not recorded", len(batch), extra={"action": "write_ledger"})
            failure = LedgerWriteUnknownError(str(error))
        for _, _, future in batch:
            if future.done():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)

    async def _save(
        self, batch: Sequence[tuple[ReceivedMessage, Sequence[PlannedStatus]]], stop: asyncio.Event
    ) -> None:
        """Save a batch, with retries until the timeout."""
        deadline = asyncio.get_running_loop().time() + WRITE_TIMEOUT_SECONDS
        attempt = 1
        while True:
            try:
                return await self._store.save(batch)
            except TemporaryError:
                attempt += 1
                delay = backoff_seconds(attempt)
                is_past_deadline = asyncio.get_running_loop().time() + delay > deadline
                if is_past_deadline or await sleep_unless_stopped(stop, delay):
                    raise
