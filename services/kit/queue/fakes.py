"""In-memory fake of `ports.Queue`, for unit tests of its users. Contract tests run against it and Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kit.errors import InvalidError, OverloadedError, TemporaryError
from services.kit.queue.job import (
    BATCH,
    PRIORITIES,
    Controls,
    Disposition,
    EnqueueResult,
    JobResult,
    Lease,
    ReserveResult,
    Stats,
)
from services.kit.queue.ports import DrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.kit.queue.job import Job, QueueConfig, QueueName

DEADLINE_INTERVAL, AGING_INTERVAL = 2, 10


@dataclass
class Entry:
    """A job and its state: delayed until `ready_at`, ready since then, or leased until `lease_expires_at`."""

    job: Job
    ready_at: float
    sequence: int
    attempts: int = 0
    epoch: int = 0
    lease_expires_at: float | None = None

    @property
    def lane(self) -> tuple[int, str]:
        """Priority and company."""
        return self.job.priority, self.job.company

    @property
    def deadline(self) -> float:
        """Seconds since the epoch; infinite if there is none."""
        return self.job.deadline.timestamp() if self.job.deadline else float("inf")


class FakeQueue:
    """See `ports.Queue`. Every call scans all jobs: for dozens of jobs, not thousands."""

    def __init__(self, name: QueueName, config: QueueConfig, clock: Callable[[], float]) -> None:
        self.name = name
        self.config = config
        self.unavailable = False
        self._clock = clock
        self._entries: dict[object, Entry] = {}
        self._done: dict[object, float] = {}
        self._positions: dict[tuple[int, str], int] = {}
        self._served_positions = Counter[int]()
        self._totals = Counter[str]()
        self._controls = Controls()
        self._selection = self._epoch = self._sequence = 0
        self._tokens = self._refilled_at = 0.0
        self.throughput = 0.0

    def clear(self) -> None:
        """Lose all data, as a flushed Redis does."""
        self.__init__(self.name, self.config, self._clock)  # type: ignore[misc]  # resets every attribute

    async def enqueue(self, jobs: Sequence[Job], *, admitted: bool = False) -> EnqueueResult:
        """See `ports.Queue.enqueue`."""
        now = self._now()
        errors = [error for job in jobs for error in job.validation_errors()]
        if errors or len(jobs) > BATCH:
            raise InvalidError("; ".join(errors) or f"{len(jobs)} jobs in one call, maximum {BATCH}")
        if self._controls.draining:
            raise DrainingError(f"queue {self.name} is draining and accepts no new jobs", retry_after=30.0)
        if not admitted:
            self._check_admission(jobs, now)
        added = 0
        for job in jobs:
            if job.id not in self._entries and self._done.get(job.id, 0.0) <= now:
                self._sequence += 1
                ready_at = job.not_before.timestamp() if job.not_before else now
                self._insert(Entry(job, ready_at, self._sequence), now)
                added += 1
        self._totals["added"] += added
        return EnqueueResult(added, len(jobs) - added)

    def _check_admission(self, jobs: Sequence[Job], now: float) -> None:
        depth = sum(entry.lease_expires_at is None for entry in self._entries.values())
        if depth + len(jobs) > self.config.max_depth:
            raise OverloadedError(f"queue {self.name} is full", wait_seconds=1.0, retry_after=1.0)
        waits: list[float] = []
        batch = Counter[tuple[int, str]]()
        for job in jobs:
            lane = (job.priority, job.company)
            start = max(now, job.not_before.timestamp() if job.not_before else now)
            wait = 0.0
            if self._capacity() and start <= now:
                wait = self._jobs_ahead(lane, batch[lane], now) / self._capacity()
            batch[lane] += start <= now
            if job.deadline and start + wait >= job.deadline.timestamp():
                waits.append(wait)
                overrun_seconds = start + wait - job.deadline.timestamp()
        if waits:
            raise OverloadedError(
                f"queue {self.name}: the wait is {max(waits):.1f} s",
                wait_seconds=max(waits),
                retry_after=overrun_seconds,
            )

    def _jobs_ahead(self, lane: tuple[int, str], joining: int, now: float) -> int:
        ready = Counter(entry.lane for entry in self._ready(now))
        higher = sum(count for other, count in ready.items() if other[0] < lane[0])
        other_lanes = sum(1 for other in ready if other[0] == lane[0] and other != lane)
        total = sum(count for other, count in ready.items() if other[0] <= lane[0])
        ahead_in_lane = ready[lane] + joining
        return min(total + joining, higher + ahead_in_lane + (ahead_in_lane + 1) * other_lanes)

    def _capacity(self) -> float:
        limit = self._controls.rate_limit
        return limit if limit and (not self.throughput or limit < self.throughput) else self.throughput

    def _insert(self, entry: Entry, now: float) -> None:
        """Add an entry; a returning lane goes behind the last one, unless not yet served this round."""
        served_position = self._served_positions[entry.job.priority]
        is_returning = not any(other.lane == entry.lane for other in self._ready(now))
        if is_returning and self._positions.get(entry.lane) != served_position:
            self._positions[entry.lane] = served_position + 1
        self._entries[entry.job.id] = entry

    def _ready(self, now: float) -> list[Entry]:
        entries = [e for e in self._entries.values() if e.lease_expires_at is None and e.ready_at <= now]
        return sorted(entries, key=lambda entry: (entry.ready_at, entry.sequence))

    async def reserve(self, max_jobs: int) -> ReserveResult:
        """See `ports.Queue.reserve`."""
        now = self._now()
        self._epoch = max(self._epoch + 1, round(now * 1_000_000))
        leases: list[Lease] = []
        for entry in [
            e for e in self._entries.values() if e.lease_expires_at is not None and e.lease_expires_at <= now
        ]:
            if entry.attempts < self.config.max_attempts:
                entry.lease_expires_at, entry.epoch = None, 0
                self._insert(entry, now)
            elif len(leases) < max_jobs:
                leases.append(self._lease(entry, Disposition.EXHAUSTED, now))
        expired = [entry for entry in self._ready(now) if entry.deadline <= now]
        for entry in expired[: max_jobs - len(leases)]:
            self._totals["expired"] += 1
            leases.append(self._lease(entry, Disposition.EXPIRED, now))
        for _ in range(self._allowed(max_jobs - len(leases), now)):
            self._selection += 1
            selected = self._select(now)
            if selected is None:
                break
            leases.append(self._lease(selected, Disposition.RUN, now))
            self._tokens -= 1
        due_times = [
            e.lease_expires_at if e.lease_expires_at is not None else e.ready_at
            for e in self._entries.values()
        ]
        due_times = [moment for moment in due_times if moment > now]
        return ReserveResult(leases, min(due_times) - now if due_times else None)

    def _allowed(self, max_jobs: int, now: float) -> int:
        if self._controls.paused:
            return 0
        if limit := self._controls.rate_limit:
            self._tokens = min(max(1.0, limit), self._tokens + (now - self._refilled_at) * limit)
            self._refilled_at = now
            return min(max_jobs, int(self._tokens))
        return max_jobs

    def _select(self, now: float) -> Entry | None:
        ready = self._ready(now)
        if not ready:
            return None
        nearest = min(ready, key=lambda entry: entry.deadline)
        margin = self.config.deadline_margin_seconds
        if self._selection % DEADLINE_INTERVAL == 0 and nearest.deadline <= now + margin:
            return nearest
        if self._selection % AGING_INTERVAL == 0 and ready[0].ready_at <= now - self.config.aging_seconds:
            return ready[0]
        first = min(
            ready, key=lambda entry: (entry.job.priority, self._positions[entry.lane], entry.job.company)
        )
        self._served_positions[first.job.priority] = self._positions[first.lane]
        return first

    def _lease(self, entry: Entry, disposition: Disposition, now: float) -> Lease:
        if disposition is Disposition.RUN:
            entry.attempts += 1
            self._positions[entry.lane] += 1
        entry.epoch, entry.lease_expires_at = self._epoch, now + self.config.lease_seconds
        return Lease(
            id=entry.job.id,
            company=entry.job.company,
            payload=entry.job.payload,
            priority=entry.job.priority,
            epoch=entry.epoch,
            attempt=entry.attempts,
            disposition=disposition,
            waited_seconds=max(0.0, now - entry.ready_at),
        )

    async def ack(self, leases: Sequence[Lease]) -> list[JobResult]:
        """See `ports.Queue.ack`."""
        now = self._now()
        return [self._ack(lease, now) for lease in leases]

    def _ack(self, lease: Lease, now: float) -> JobResult:
        entry = self._entries.get(lease.id)
        if entry is None or entry.epoch != lease.epoch:
            return JobResult.FENCED
        del self._entries[lease.id]
        self._totals["done"] += 1
        if self.config.dedup_ttl_seconds:
            self._done[lease.id] = now + self.config.dedup_ttl_seconds
        return JobResult.DONE

    async def wait_for_job(self, seconds: float) -> None:  # noqa: ARG002 - argument of the port
        """See `ports.Queue.wait_for_job`; only lets other tasks run."""
        await asyncio.sleep(0)

    async def stats(self) -> Stats:
        """See `ports.Queue.stats`."""
        now = self._now()
        ready = self._ready(now)
        depth = Counter(entry.job.priority for entry in ready)
        leased = sum(entry.lease_expires_at is not None for entry in self._entries.values())
        margin = self.config.deadline_margin_seconds
        return Stats(
            ready=tuple(depth[priority] for priority in range(PRIORITIES)),
            delayed=len(self._entries) - leased - len(ready),
            leased=leased,
            lanes=len({entry.lane for entry in ready}),
            near_deadline=sum(entry.deadline <= now + margin for entry in ready),
            oldest_age_seconds=max(0.0, now - ready[0].ready_at) if ready else 0.0,
            throughput=self.throughput,
            totals={name: self._totals[name] for name in ("added", "done", "expired")},
            controls=self._controls,
        )

    async def update_controls(
        self, *, paused: bool | None = None, draining: bool | None = None, rate_limit: float | None = None
    ) -> Controls:
        """See `ports.Queue.update_controls`."""
        self._now()
        current = self._controls
        self._controls = Controls(
            current.paused if paused is None else paused,
            current.draining if draining is None else draining,
            current.rate_limit if rate_limit is None else rate_limit,
        )
        return self._controls

    def _now(self) -> float:
        if self.unavailable:
            raise TemporaryError(f"queue {self.name}: Redis is unavailable")
        return self._clock()
