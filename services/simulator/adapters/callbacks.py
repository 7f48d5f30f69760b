"""Posts the reports that are due, signed, in batches, until they are answered with 200.

A replica takes what is due out of the table and ends the transaction when it is posted: if it dies, nothing
was taken, and another posts it again, which a receiver must bear, as it must with the real provider.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from services.kit.retry import wait_or_stop
from services.kit.sql import load_queries
from services.simulator.statuses import envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.simulator.adapters.controls import Controls

MOST = 4000
"""Reports that are held at once."""
POSTS = 16
"""Posts under way at once."""
PACE_SECONDS = 0.5
"""Between two rounds: reports gather, and go out in few callbacks."""
LONGEST_DELAY_SECONDS = 60.0
OK = 200
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receiver:
    """Where callbacks go.

    Attributes:
        url: the address.
        secret: key of the signature.
    """

    url: str
    secret: bytes


class Postman:
    """Delivers due reports of all numbers."""

    def __init__(
        self, database: Database, client: aiohttp.ClientSession, receiver: Receiver, controls: Controls
    ) -> None:
        self._database = database
        self._client = client
        self._receiver = receiver
        self._controls = controls
        self._slots = asyncio.Semaphore(POSTS)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop."""
        while not stop.is_set():
            await self.step()
            await wait_or_stop(stop, PACE_SECONDS)

    async def step(self) -> int:
        """Post what is due now; return how many reports were delivered."""
        async with self._database.work() as work:
            taken = await work.rows(SQL["take_callbacks"], most=MOST)
            if not taken:
                return 0
            rows = sorted(taken, key=lambda row: row.due_at)
            most = self._controls.current.batch
            batches = [rows[start : start + most] for start in range(0, len(rows), most)]
            answers = await asyncio.gather(*(self._post(batch) for batch in batches))
            failed = [batch for batch, answer in zip(batches, answers, strict=True) if not answer]
            left = [row for batch in failed for row in batch]
            await _postpone(work, left)
            await work.commit()
        return len(rows) - len(left)

    async def _post(self, batch: Sequence[Row[Any]]) -> bool:
        """Post one callback; True when it was answered with 200."""
        by_number: defaultdict[str, list[str]] = defaultdict(list)
        for row in batch:
            by_number[row.phone_number_id].append(row.status)
        body = envelope(by_number).encode()
        signature = "sha256=" + hmac.new(self._receiver.secret, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        async with self._slots:
            try:
                async with self._client.post(self._receiver.url, data=body, headers=headers) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("Callback not delivered: %s", type(error).__name__, extra={"action": "callback"})
                return False
        if status != OK:
            log.warning("Callback answered with %d", status, extra={"action": "callback"})
        return status == OK


def delay_after(attempts: int) -> float:
    """Return the seconds until a report is posted again after so many posts in vain."""
    return float(min(LONGEST_DELAY_SECONDS, 2.0 ** min(attempts, 16)))


async def _postpone(work: Work, rows: Sequence[Row[Any]]) -> None:
    if rows:
        await work.run(
            SQL["postpone_callbacks"],
            sends=[row.send_id for row in rows],
            places=[row.place for row in rows],
            delays=[delay_after(row.attempts) for row in rows],
            attempts=[row.attempts + 1 for row in rows],
            numbers=[row.phone_number_id for row in rows],
            statuses=[row.status for row in rows],
        )
