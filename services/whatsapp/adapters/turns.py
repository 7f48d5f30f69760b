"""Turns in the queue engine, and without Redis by looking at what is due. See `ports.Turns`.

A turn says that there may be something to send; what may be sent, and by whom, only claims in Postgres say.
So a turn may be lost or come twice without harm: all that is due is given a turn every two seconds. It is
taken out of the queue before messages are claimed: one that arrives meanwhile then finds no turn waiting and
brings its own, so that none is overlooked.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.queue.job import BATCH, Job, job_id_from_key
from services.kit.retry import wait_or_stop
from services.whatsapp.domain import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.breaker import Breaker
    from services.kit.queue.job import Lease
    from services.kit.queue.ports import Queue
    from services.whatsapp.ports import Due, Turns

REPLIES, CAMPAIGNS = 0, 2
"""Priorities."""
GIVE_SECONDS = 0.5
"""For the queue to take turns. Who brings a message waits no longer: the sweep brings its turn too."""
SWEEP_SECONDS = 2.0
log = logging.getLogger(__name__)


class QueuedTurns:
    """See `ports.Turns`."""

    def __init__(self, queue: Queue, breaker: Breaker, due: Due | None = None) -> None:
        """Put it together.

        Args:
            queue: where turns wait.
            breaker: in front of it.
            due: asked while the queue is away; None where turns are only given.
        """
        self._queue = queue
        self._breaker = breaker
        self._due = due
        self._next = 0.0

    async def take(self, most: int) -> list[Turn]:
        """See `Turns`; while Redis is away this is whatever is due.

        Raises:
            TemporaryError: the store of record is away too.
        """
        try:
            async with self._breaker.call():
                reserved = await self._queue.reserve(most)
                await self._queue.ack(reserved.leases)
        except TemporaryError:
            self._next = SWEEP_SECONDS
            return await self._due.look(most) if self._due else []
        self._next = SWEEP_SECONDS if reserved.next_due_seconds is None else reserved.next_due_seconds
        return [_turn(lease) for lease in reserved.leases]

    async def give(self, turns: Sequence[tuple[Turn, float]]) -> None:
        """See `Turns`."""
        now = dt.datetime.now(dt.UTC)
        jobs = {job.id: job for turn, seconds in turns if (job := _job(turn, now, seconds))}
        try:
            for at in range(0, len(jobs), BATCH):
                await self._give(list(jobs.values())[at : at + BATCH])
        except TemporaryError as error:
            log.debug("%d turns wait for the sweep: %s", len(jobs), error, extra={"action": "give"})

    async def _give(self, jobs: Sequence[Job]) -> None:
        async with self._breaker.call():
            try:
                async with asyncio.timeout(GIVE_SECONDS):
                    await self._queue.enqueue(jobs, admitted=True)
            except TimeoutError:
                raise TemporaryError(f"the queue took no turns in {GIVE_SECONDS:g} s") from None

    async def arrival(self, seconds: float) -> None:
        """See `Turns`."""
        wait = min(seconds, self._next)
        try:
            async with self._breaker.call():
                await self._queue.wait_for_job(wait)
        except TemporaryError:
            await asyncio.sleep(wait)


class TurnSweep:
    """Gives a turn to all that is due: what Redis lost, what waited for its time, what nobody announced."""

    def __init__(self, due: Due, turns: Turns) -> None:
        self._due = due
        self._turns = turns

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop.

        Raises:
            TemporaryError: the store of record is away.
        """
        while not stop.is_set():
            await self._turns.give([(turn, 0.0) for turn in await self._due.look(BATCH)])
            await wait_or_stop(stop, SWEEP_SECONDS)


def _job(turn: Turn, now: dt.datetime, seconds: float) -> Job:
    kind = "replies" if turn.replies else "campaigns"
    return Job(
        job_id_from_key(f"turn/{turn.company}/{turn.connection}/{kind}"),
        turn.company,
        turn.connection.encode(),
        REPLIES if turn.replies else CAMPAIGNS,
        now + dt.timedelta(seconds=seconds) if seconds else None,
    )


def _turn(lease: Lease) -> Turn:
    return Turn(lease.company, lease.payload.decode(), replies=lease.priority == REPLIES)
