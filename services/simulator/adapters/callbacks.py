"""Posts the reports that are due, signed, in batches, until they are answered with 200.

A replica takes what is due out of the table and ends the transaction when it is posted: if it dies, nothing
was taken, and another posts it again, which a receiver must bear, as it must with the real provider.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from services.kit.retry import wait_or_stop
from services.kit.sql import load_queries
from services.simulator.statuses import Status, envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.simulator.adapters.controls import Controls

MOST = 500
"""Moments that are told at once, of one batch of sends each."""
POSTS = 16
"""Posts under way at once."""
PACE_SECONDS = 0.5
"""Between two rounds: statuses gather, and go out in few callbacks."""
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


class _Due(NamedTuple):
    """A status that is due, and how often it was posted in vain."""

    status: Status
    attempts: int


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
        """Post what is due now; return how many statuses were delivered."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["take_callbacks"], most=MOST)
            if not rows:
                return 0
            batches = _batches(rows, self._controls.current.batch)
            answers = await asyncio.gather(*(self._post(batch) for batch in batches))
            left = [batch for batch, answer in zip(batches, answers, strict=True) if not answer]
            await _postpone(work, left)
            await work.commit()
        return sum(map(len, batches)) - sum(map(len, left))

    async def _post(self, batch: Sequence[_Due]) -> bool:
        """Post one callback; True when it was answered with 200."""
        body = envelope(due.status for due in batch).encode()
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


def _batches(rows: Sequence[Row[Any]], most: int) -> list[list[_Due]]:
    """Return what the rows hold, in the order of its time, in callbacks of so many statuses."""
    ordered = sorted(rows, key=lambda row: row.due_at)
    due = [_Due(Status(*values), row.attempts) for row in ordered for values in json.loads(row.statuses)]
    return [due[start : start + most] for start in range(0, len(due), most)]


async def _postpone(work: Work, batches: Sequence[Sequence[_Due]]) -> None:
    """Keep what was posted in vain; what was posted together is a row."""
    if batches:
        attempts = [max(due.attempts for due in batch) for batch in batches]
        await work.run(
            SQL["postpone_callbacks"],
            delays=[delay_after(made) for made in attempts],
            attempts=[made + 1 for made in attempts],
            statuses=[json.dumps([due.status for due in batch]) for batch in batches],
        )
