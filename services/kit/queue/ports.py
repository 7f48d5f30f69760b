"""Port of the queue. Every method raises `TemporaryError` when Redis is unavailable or slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.queue.job import (
        Controls,
        EnqueueResult,
        Job,
        JobResult,
        Lease,
        QueueConfig,
        QueueName,
        ReserveResult,
        Stats,
    )


class DrainingError(TemporaryError):
    """The queue is draining and rejects new jobs; Redis is available."""


class Queue(Protocol):
    """Priority queue with leases, fairness between companies, deadlines and aging.

    - A lower priority number goes first, except that every second selection is for the job nearest its
      deadline, if that is within the margin, and every tenth for the oldest job, if it has aged. No job
      starves, and jobs of the highest priority wait at most about twice as long.
    - Within a priority, companies are served round-robin, whatever number of jobs each has.
    - An id is in the queue once. A job is handed out again when its lease expires without acknowledgement.
    - An acknowledgement with an old epoch changes nothing.

    Redis is not a store of record: its content may be lost at any moment. The owner of the jobs must enqueue
    them again, and consumers must tolerate that a job is handed out twice.
    """

    @property
    def name(self) -> QueueName:
        """Name of the queue."""
        ...

    @property
    def config(self) -> QueueConfig:
        """Configuration of the queue."""
        ...

    async def enqueue(self, jobs: Sequence[Job], *, admitted: bool = False) -> EnqueueResult:
        """Add jobs, all or none of them.

        Args:
            jobs: jobs to add, at most 1000.
            admitted: whether the jobs were accepted before, so that capacity and deadlines are not checked. A
                draining queue rejects them too.

        Returns:
            The number of jobs added and of duplicates.

        Raises:
            InvalidError: a job is invalid; has all validation errors.
            OverloadedError: a job cannot start before its deadline, or the queue is full; has a retry time.
            DrainingError: the queue is draining.
            TemporaryError: Redis is unavailable or slow.
        """
        ...

    async def reserve(self, max_jobs: int) -> ReserveResult:
        """Lease up to `max_jobs` jobs, at most 1000, for the configured time. See `Lease.disposition`."""
        ...

    async def ack(self, leases: Sequence[Lease]) -> list[JobResult]:
        """Acknowledge jobs; return the result of each: `FENCED` where the lease was lost."""
        ...

    async def wait_for_job(self, seconds: float) -> None:
        """Wait until a job may be ready, at most `seconds`."""
        ...

    async def stats(self) -> Stats:
        """Return the state of the queue."""
        ...

    async def update_controls(
        self, *, paused: bool | None = None, draining: bool | None = None, rate_limit: float | None = None
    ) -> Controls:
        """Change the operator controls; None leaves a control unchanged.

        Args:
            paused: whether to hand out no jobs to be run.
            draining: whether to reject new jobs.
            rate_limit: jobs per second; 0 for no limit.

        Returns:
            All controls after the change.
        """
        ...
