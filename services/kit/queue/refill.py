"""Brings back what Redis lost, from where the jobs of record are.

A Redis that was restarted, failed over or emptied is another than the one that was filled: its replication id
differs, or the note of it is gone. Both are looked for once a second. One process at a time then puts every
owed job back. Those that are still there are known by their ids and stay as they are, so that filling twice,
or while workers and producers go on, does no harm. A failover may lose the last writes without emptying
anything: that is why the replication id is asked, and not whether the queue is empty.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.kit.queue.job import Controls
from services.kit.retry import wait_or_stop

if TYPE_CHECKING:
    import asyncio

    from services.kit.queue.engine import RedisQueue
    from services.kit.queue.port import Refill

FILLING_SECONDS = 300.0
"""A filling that takes longer is begun anew by whoever looks next, beside the first if that still runs."""
LOOK_SECONDS = 1.0
REFILLS = Counter("esq_queue_refills", "Times that a queue was filled anew", ["queue", "class"])
log = logging.getLogger(__name__)


class Refiller:
    """A task of every process that may fill the queue."""

    def __init__(self, queue: RedisQueue, refill: Refill, *, every_seconds: float = LOOK_SECONDS) -> None:
        self._queue = queue
        self._refill = refill
        self._every = every_seconds
        self._controls = Controls()

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop.

        Raises:
            TemporaryError: Redis or the store of record is away; the next look begins anew.
        """
        while not stop.is_set():
            await self.look()
            await wait_or_stop(stop, self._every)

    async def look(self) -> int:
        """Fill the queue if this Redis was not filled yet; return how many jobs were put back."""
        origin = await self._queue.origin()
        token, self._controls = await self._queue.adopt(origin, FILLING_SECONDS, self._controls)
        if not token:
            return 0
        added = 0
        async for jobs in self._refill.owed():
            added += (await self._queue.enqueue(jobs, owed=True)).added
        counts = await self._queue.adopted(origin, token)
        REFILLS.labels(self._queue.name.domain, self._queue.name.kind).inc()
        log.warning(
            "Queue %s was filled anew: %d jobs were missing%s",
            self._queue.name,
            added,
            "" if counts else "; it is begun again, since Redis was lost meanwhile",
            extra={"action": "refill", "queue": str(self._queue.name), "jobs": added},
        )
        return added
