"""Runs jobs: takes as many as it has room for, holds their leases, settles them together.

Killed at any moment it loses nothing: its leases end and its jobs are handed out again. A job whose lease was
lost (a long stall) goes on here, since nobody can tell whether what it does can be broken off; its settlement
is then stale and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from services.kit.errors import TemporaryError
from services.kit.queue import metrics
from services.kit.queue.job import BATCH, Fate
from services.kit.retry import pause_before, wait_or_stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from services.kit.queue.job import Lease, Outcome
    from services.kit.queue.port import Queue

GATHER_SECONDS = 0.002
"""Outcomes wait so long for others to be settled with, and room for more of it."""
ARRIVAL_SECONDS = 1.0
log = logging.getLogger(__name__)


class Handler(Protocol):
    """What a domain does with its jobs."""

    async def run(self, lease: Lease) -> None:
        """Do it.

        Raises:
            TemporaryError: it failed in passing; it is tried again after a pause.
            Exception: anything else: it failed for good and becomes a dead letter.
        """
        ...

    async def lost(self, lease: Lease) -> None:
        """Write down that it will not be run: expired, or exhausted as every worker that had it died."""
        ...


class Worker:
    """Two tasks of a process: `run` and `settle`."""

    def __init__(self, queue: Queue, handler: Handler, *, concurrency: int, rng: Random) -> None:
        self._queue = queue
        self._handler = handler
        self._concurrency = concurrency
        self._rng = rng
        self._running: dict[asyncio.Task[None], Lease] = {}
        self._outcomes: list[Outcome] = []
        self._ended = asyncio.Event()
        self._freed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Take and run jobs until told to stop; those under way are then awaited, their leases held.

        Raises:
            TemporaryError: Redis is away; jobs under way go on.
        """
        beat = asyncio.create_task(self._hold())
        try:
            while not stop.is_set():
                await self._take_some()
            if self._running:
                await asyncio.wait(self._running)
        finally:
            beat.cancel()

    async def _take_some(self) -> None:
        """Fill the room there is, or wait for room, an arrival or what falls due."""
        self._freed.clear()
        room = self._concurrency - len(self._running)
        if room <= 0:
            await self._freed.wait()
            return
        if room < self._concurrency // 4:
            # Others will end in a moment: a batch is worth its round trip.
            await asyncio.sleep(GATHER_SECONDS)
            room = self._concurrency - len(self._running)
        reserved = await self._queue.reserve(min(room, BATCH))
        for lease in reserved.leases:
            task = asyncio.create_task(self._run_one(lease))
            self._running[task] = lease
            task.add_done_callback(self._left)
        if not reserved.leases:
            due = ARRIVAL_SECONDS if reserved.next_seconds is None else reserved.next_seconds
            await self._queue.arrival(min(ARRIVAL_SECONDS, due))

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._freed.set()

    async def _run_one(self, lease: Lease) -> None:
        began = time.monotonic()
        try:
            outcome = await self._outcome(lease)
            if outcome:
                self._outcomes.append(outcome)
        finally:
            metrics.ran(self._queue.name, time.monotonic() - began)
            self._ended.set()

    async def _outcome(self, lease: Lease) -> Outcome | None:
        """Return how to settle it; None to let the lease end, so that a report is made again."""
        try:
            if lease.fate is not Fate.RUN:
                await self._handler.lost(lease)
                return lease.done() if lease.fate is Fate.EXPIRED else lease.dead("its workers died")
            await self._handler.run(lease)
        except TemporaryError as error:
            if lease.fate is not Fate.RUN:
                return None
            return lease.retry(self._queue.rules.pause(max(1, lease.attempt), self._rng), str(error))
        except Exception as error:
            log.exception("Job %s failed", lease.id, extra={"action": "job", "queue": str(self._queue.name)})
            return lease.dead(type(error).__name__)
        return lease.done()

    async def _hold(self) -> None:
        """Extend the leases of what runs, three times within their length."""
        while True:
            await asyncio.sleep(self._queue.rules.lease_seconds / 3)
            leases = list(self._running.values())
            for at in range(0, len(leases), BATCH):
                await self._extend(leases[at : at + BATCH])

    async def _extend(self, leases: Sequence[Lease]) -> None:
        try:
            held = await self._queue.extend(leases)
        except TemporaryError as error:
            log.warning("Leases are not held: %s", error, extra={"action": "extend"})
            return
        if len(held) < len(leases):
            log.warning("%d jobs are others' by now", len(leases) - len(held), extra={"action": "extend"})

    async def settle(self, stop: asyncio.Event) -> None:
        """Settle until told to stop and nothing can come any more; wait for Redis as long as it takes."""
        failures = 0
        while not stop.is_set() or self._running or self._outcomes:
            if not self._outcomes:
                self._ended.clear()
                await wait_or_stop(self._ended, ARRIVAL_SECONDS)
                continue
            batch = self._outcomes[:BATCH]
            try:
                await self._queue.settle(batch)
            except TemporaryError as error:
                failures += 1
                log.warning("%d outcomes wait: %s", len(batch), error, extra={"action": "settle"})
                await asyncio.sleep(pause_before(failures + 1))
            else:
                failures = 0
                del self._outcomes[: len(batch)]
                await asyncio.sleep(GATHER_SECONDS)
