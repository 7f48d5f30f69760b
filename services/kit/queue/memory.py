"""The queue in memory, for unit tests of what uses one. Kept honest by the contract tests, which run both."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kit.errors import BusyError, InvalidError, TemporaryError
from services.kit.queue.job import (
    BATCH,
    PRIORITIES,
    Added,
    Controls,
    DeadLetter,
    Fate,
    Lease,
    Reserved,
    Stats,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.kit.queue.job import Job, Outcome, QueueName, QueueRules

RISK_TURN, AGED_TURN = 2, 10


@dataclass
class Entry:
    """A job and where it is: delayed until `ready`, waiting since then, or leased until `until`."""

    job: Job
    ready: float
    order: int
    attempts: int = 0
    epoch: int = 0
    until: float | None = None

    @property
    def lane(self) -> tuple[int, str]:
        """Its priority and company."""
        return self.job.priority, self.job.company

    @property
    def deadline(self) -> float:
        """When it is too late."""
        return self.job.deadline.timestamp() if self.job.deadline else float("inf")


class MemoryQueue:
    """See `Queue`. Looks at every job for every answer: for dozens of jobs, not thousands."""

    def __init__(self, name: QueueName, rules: QueueRules, clock: Callable[[], float]) -> None:
        self.name = name
        self.rules = rules
        self.away = False
        self._clock = clock
        self._entries: dict[object, Entry] = {}
        self._done: dict[object, float] = {}
        self._dead: list[DeadLetter] = []
        self._turns: dict[tuple[int, str], int] = {}
        self._reached = Counter[int]()
        self._totals = Counter[str]()
        self._controls = Controls()
        self._turn = self._epoch = self._order = 0
        self._tokens = self._filled = 0.0
        self.rate = 0.0

    def lose_everything(self) -> None:
        """Forget all, as an emptied Redis does."""
        self.__init__(self.name, self.rules, self._clock)  # type: ignore[misc]  # as if it were new

    async def enqueue(self, jobs: Sequence[Job], *, owed: bool = False) -> Added:
        """See `Queue`."""
        now = self._now()
        faults = [fault for job in jobs for fault in job.faults()]
        if faults or len(jobs) > BATCH:
            raise InvalidError("; ".join(faults) or f"{len(jobs)} jobs at once, {BATCH} at most")
        if not owed:
            self._admit(jobs, now)
        added = 0
        for job in jobs:
            if job.id not in self._entries and self._done.get(job.id, 0.0) <= now:
                self._order += 1
                ready = job.not_before.timestamp() if job.not_before else now
                self._put(Entry(job, ready, self._order), now)
                added += 1
        self._totals["added"] += added
        return Added(added, len(jobs) - added)

    def _admit(self, jobs: Sequence[Job], now: float) -> None:
        if self._controls.draining:
            raise TemporaryError(
                f"queue {self.name} is being drained and takes nothing new", retry_after=30.0
            )
        if sum(each.until is None for each in self._entries.values()) + len(jobs) > self.rules.most_waiting:
            raise BusyError(f"queue {self.name} is full", wait=1.0, retry_after=1.0)
        waits: list[float] = []
        batch = Counter[tuple[int, str]]()
        for job in jobs:
            lane = (job.priority, job.company)
            start = max(now, job.not_before.timestamp() if job.not_before else now)
            wait = 0.0
            if self._rate() and start <= now:
                wait = self._ahead(lane, batch[lane], now) / self._rate()
            batch[lane] += start <= now
            if job.deadline and start + wait >= job.deadline.timestamp():
                waits.append(wait)
                beyond = start + wait - job.deadline.timestamp()
        if waits:
            raise BusyError(
                f"queue {self.name}: the wait is {max(waits):.1f} s", wait=max(waits), retry_after=beyond
            )

    def _ahead(self, lane: tuple[int, str], joined: int, now: float) -> int:
        waiting = Counter(each.lane for each in self._waiting(now))
        urgent = sum(count for each, count in waiting.items() if each[0] < lane[0])
        others = sum(1 for each in waiting if each[0] == lane[0] and each != lane)
        everything = sum(count for each, count in waiting.items() if each[0] <= lane[0])
        before = waiting[lane] + joined
        return min(everything + joined, urgent + before + (before + 1) * others)

    def _rate(self) -> float:
        limit = self._controls.limit
        return limit if limit and (not self.rate or limit < self.rate) else self.rate

    def _put(self, entry: Entry, now: float) -> None:
        """Let it wait; a lane that comes back queues behind the one just served, unless its turn is due."""
        reached = self._reached[entry.job.priority]
        came_back = not any(each.lane == entry.lane for each in self._waiting(now))
        if came_back and self._turns.get(entry.lane) != reached:
            self._turns[entry.lane] = reached + 1
        self._entries[entry.job.id] = entry

    def _waiting(self, now: float) -> list[Entry]:
        found = [each for each in self._entries.values() if each.until is None and each.ready <= now]
        return sorted(found, key=lambda each: (each.ready, each.order))

    async def reserve(self, most: int) -> Reserved:
        """See `Queue`."""
        now = self._now()
        self._epoch = max(self._epoch + 1, round(now * 1_000_000))
        leases: list[Lease] = []
        for entry in [
            each for each in self._entries.values() if each.until is not None and each.until <= now
        ]:
            if entry.attempts < self.rules.attempts:
                entry.until, entry.epoch = None, 0
                self._put(entry, now)
            elif len(leases) < most:
                leases.append(self._hand(entry, Fate.EXHAUSTED, now))
        for entry in [each for each in self._waiting(now) if each.deadline <= now][: most - len(leases)]:
            self._totals["expired"] += 1
            leases.append(self._hand(entry, Fate.EXPIRED, now))
        allowed = self._allowed(most - len(leases), now)
        for _ in range(allowed):
            self._turn += 1
            chosen = self._choose(now)
            if chosen is None:
                break
            leases.append(self._hand(chosen, Fate.RUN, now))
            self._tokens -= 1
        due = [each.until if each.until is not None else each.ready for each in self._entries.values()]
        due = [each for each in due if each > now]
        return Reserved(leases, min(due) - now if due else None)

    def _allowed(self, most: int, now: float) -> int:
        if self._controls.paused:
            return 0
        if limit := self._controls.limit:
            self._tokens = min(max(1.0, limit), self._tokens + (now - self._filled) * limit)
            self._filled = now
            return min(most, int(self._tokens))
        return most

    def _choose(self, now: float) -> Entry | None:
        waiting = self._waiting(now)
        if not waiting:
            return None
        nearest = min(waiting, key=lambda each: each.deadline)
        if self._turn % RISK_TURN == 0 and nearest.deadline <= now + self.rules.risk_seconds:
            return nearest
        if self._turn % AGED_TURN == 0 and waiting[0].ready <= now - self.rules.patience_seconds:
            return waiting[0]
        first = min(waiting, key=lambda each: (each.job.priority, self._turns[each.lane], each.job.company))
        self._reached[first.job.priority] = self._turns[first.lane]
        return first

    def _hand(self, entry: Entry, fate: Fate, now: float) -> Lease:
        if fate is Fate.RUN:
            entry.attempts += 1
            self._turns[entry.lane] += 1
        entry.epoch, entry.until = self._epoch, now + self.rules.lease_seconds
        return Lease(
            id=entry.job.id,
            company=entry.job.company,
            payload=entry.job.payload,
            priority=entry.job.priority,
            epoch=entry.epoch,
            attempt=entry.attempts,
            fate=fate,
            waited=max(0.0, now - entry.ready),
            last=entry.attempts >= self.rules.attempts,
        )

    async def extend(self, leases: Sequence[Lease]) -> list[Lease]:
        """See `Queue`."""
        now = self._now()
        held = []
        for lease in leases:
            entry = self._entries.get(lease.id)
            if entry is not None and entry.epoch == lease.epoch:
                entry.until = now + self.rules.lease_seconds
                held.append(lease)
        return held

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """See `Queue`."""
        now = self._now()
        return [self._settle(outcome, now) for outcome in outcomes]

    def _settle(self, outcome: Outcome, now: float) -> Verdict:
        entry = self._entries.get(outcome.id)
        if entry is None or entry.epoch != outcome.epoch:
            return Verdict.STALE
        verdict = outcome.verdict
        if verdict is Verdict.RETRY and entry.attempts >= self.rules.attempts:
            verdict = Verdict.DEAD
        self._totals[{Verdict.DONE: "done", Verdict.RETRY: "retried", Verdict.DEAD: "dead"}[verdict]] += 1
        if verdict is Verdict.RETRY:
            entry.ready = min(now + outcome.delay, max(entry.deadline, now))
            entry.until, entry.epoch = None, 0
            self._put(entry, now)
            return verdict
        del self._entries[outcome.id]
        if self.rules.remember_seconds:
            self._done[outcome.id] = now + self.rules.remember_seconds
        if verdict is Verdict.DEAD:
            job = entry.job
            self._dead.insert(
                0, DeadLetter(job.id, job.company, job.payload, entry.attempts, outcome.reason, now)
            )
        return verdict

    async def arrival(self, seconds: float) -> None:  # noqa: ARG002 - the port has it
        """See `Queue`; there is nobody to wait for, only others to let run."""
        await asyncio.sleep(0)

    async def stats(self) -> Stats:
        """See `Queue`."""
        now = self._now()
        waiting = self._waiting(now)
        depth = Counter(each.job.priority for each in waiting)
        leased = sum(each.until is not None for each in self._entries.values())
        return Stats(
            waiting=tuple(depth[priority] for priority in range(PRIORITIES)),
            delayed=len(self._entries) - leased - len(waiting),
            leased=leased,
            dead=len(self._dead),
            lanes=len({each.lane for each in waiting}),
            at_risk=sum(each.deadline <= now + self.rules.risk_seconds for each in waiting),
            oldest_seconds=max(0.0, now - waiting[0].ready) if waiting else 0.0,
            rate=self.rate,
            totals={name: self._totals[name] for name in ("added", "done", "retried", "expired", "dead")},
            controls=self._controls,
        )

    async def dead(self, most: int) -> list[DeadLetter]:
        """See `Queue`."""
        self._now()
        return self._dead[:most]

    async def control(
        self, *, paused: bool | None = None, draining: bool | None = None, limit: float | None = None
    ) -> Controls:
        """See `Queue`."""
        self._now()
        held = self._controls
        self._controls = Controls(
            held.paused if paused is None else paused,
            held.draining if draining is None else draining,
            held.limit if limit is None else limit,
        )
        return self._controls

    def _now(self) -> float:
        if self.away:
            raise TemporaryError(f"queue {self.name}: Redis is away")
        return self._clock()
