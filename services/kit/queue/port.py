"""The port of the queue. All methods raise `TemporaryError` when Redis is away or slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.kit.queue.job import (
        Added,
        Controls,
        DeadLetter,
        Job,
        Lease,
        Outcome,
        QueueName,
        QueueRules,
        Reserved,
        Stats,
        Verdict,
    )


class Queue(Protocol):
    """Hands out jobs, each to one worker, in an order that keeps its promises.

    - A lower priority number goes first, except that every second turn belongs to the job nearest its
      deadline, if it is at risk, and every tenth to the oldest one, if it has aged: nothing starves, and what
      is strictly first waits at most about twice as long.
    - Within a priority companies take turns, whatever each has queued.
    - A job is in the queue once per id, and is handed out again when its lease ends unsettled.
    - What is settled under an old epoch changes nothing.

    Redis holds nothing of record: everything in it may be gone at any moment. Whoever owns the jobs puts them
    back (see `Refiller`), and whoever runs them must bear that a job is handed out twice.
    """

    @property
    def name(self) -> QueueName:
        """Which queue it is."""
        ...

    @property
    def rules(self) -> QueueRules:
        """How it behaves."""
        ...

    async def enqueue(self, jobs: Sequence[Job], *, owed: bool = False) -> Added:
        """Add jobs, all or none of them.

        Args:
            jobs: 1000 at most.
            owed: they were accepted before (a refill): take them even when full, draining or late.

        Raises:
            InvalidError: jobs that make no sense, all faults together.
            BusyError: a job could not start before its deadline, or the queue is full; says when to return.
            TemporaryError: also while the queue is draining.
        """
        ...

    async def reserve(self, most: int) -> Reserved:
        """Take jobs for as long as the rules' lease, 1000 at most. Their fate says what to do with each."""
        ...

    async def extend(self, leases: Sequence[Lease]) -> list[Lease]:
        """Hold jobs for another lease from now; return those that are still held."""
        ...

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """Say what became of jobs; return what was written for each, `STALE` where the lease was lost."""
        ...

    async def arrival(self, seconds: float) -> None:
        """Return when a job may have arrived, or after so many seconds."""
        ...

    async def stats(self) -> Stats:
        """Look at the queue."""
        ...

    async def dead(self, most: int) -> list[DeadLetter]:
        """Return dead letters, the newest first; the last 1000 are kept."""
        ...

    async def control(
        self, *, paused: bool | None = None, draining: bool | None = None, limit: float | None = None
    ) -> Controls:
        """Change what is given, and return what holds now."""
        ...


class Refill(Protocol):
    """Port of the owner: where the jobs of record are."""

    def owed(self) -> AsyncIterator[Sequence[Job]]:
        """Yield every job that is to be done and not known to be done, in batches of 1000 at most.

        Raises:
            TemporaryError: the store is away; the refill is begun anew.
        """
        ...
