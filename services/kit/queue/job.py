"""What waits in a queue and what becomes of it: plain values, shared by the engine, its fake and workers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, UUID, uuid5

from services.kit.auth import COMPANY
from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

PRIORITIES = 4
"""0 is served first. Few, since strict order among many levels says nothing about any of them."""
PAYLOAD_BYTES = 256
"""Payloads are ids and small facts: what is large lives in Postgres."""
BATCH = 1000
"""Most jobs in one call: longer scripts would let other callers wait for milliseconds."""
REASON_CHARACTERS = 200
_PART = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class QueueName:
    """A queue: work of one kind in one domain.

    Attributes:
        domain: the service that owns the work, e.g. `whatsapp`.
        kind: the class of work, e.g. `dispatch`.
    """

    domain: str
    kind: str

    def __post_init__(self) -> None:
        for part in (self.domain, self.kind):
            if not _PART.fullmatch(part):
                raise InvalidError(f"not the name of a queue: {part!r}; small letters, digits and hyphens")

    def __str__(self) -> str:
        return f"{self.domain}.{self.kind}"


@dataclass(frozen=True)
class QueueRules:
    """How a queue behaves; the same for all of its jobs, and for all processes that use it.

    Attributes:
        lease_seconds: a worker that is silent for so long has lost its jobs to others.
        attempts: a job that failed so often is dead.
        first_pause: seconds before the second attempt, doubled before each further one.
        longest_pause: seconds that a pause is at most.
        patience_seconds: a job that waited longer has aged, and every tenth turn is for those.
        risk_seconds: a job so close to its deadline is at risk, and every second turn is for those.
        remember_seconds: an id that is done counts as known for so long; 0 forgets it at once.
        most_waiting: jobs that may wait, against a Redis that is full; about 300 B each.
    """

    lease_seconds: float = 30.0
    attempts: int = 5
    first_pause: float = 1.0
    longest_pause: float = 300.0
    patience_seconds: float = 30.0
    risk_seconds: float = 5.0
    remember_seconds: float = 0.0
    most_waiting: int = 50_000

    def pause(self, attempt: int, rng: Random) -> float:
        """Return the seconds to wait after `attempt` failed: doubling, bounded, half of it chance."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(attempt - 1, 30))
        return longest * rng.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Job:
    """Something to do.

    Attributes:
        id: also what it is deduplicated by: a job whose id is in the queue is not added again.
        company: the tenant; companies share a queue fairly.
        payload: what the worker needs beside the id, 256 bytes at most.
        priority: 0 to 3, 0 first.
        not_before: it waits until then; a time that has passed tells since when it waits.
        deadline: when it could not start by then it is reported, not run.
    """

    id: UUID
    company: str
    payload: bytes = b""
    priority: int = 2
    not_before: datetime | None = None
    deadline: datetime | None = None

    def faults(self) -> list[str]:
        """Return what is wrong with it, in words."""
        faults = []
        if not COMPANY.fullmatch(self.company):
            faults.append(f"job {self.id}: not a company: {self.company!r}")
        if not 0 <= self.priority < PRIORITIES:
            faults.append(f"job {self.id}: priority {self.priority} is not 0 to {PRIORITIES - 1}")
        if len(self.payload) > PAYLOAD_BYTES:
            faults.append(f"job {self.id}: {len(self.payload)} bytes of payload, {PAYLOAD_BYTES} at most")
        if self.deadline and self.not_before and self.deadline <= self.not_before:
            faults.append(f"job {self.id}: its deadline comes before its beginning")
        return faults


def id_of(natural_key: str) -> UUID:
    """Return the id of work that has a natural key: always the same for the same key."""
    return uuid5(NAMESPACE_OID, natural_key)


class Fate(IntEnum):
    """What the worker is to do with a job that it was handed."""

    RUN = 0
    """Run it."""
    EXPIRED = 1
    """Report that its deadline passed, then settle it as done. Do not run it."""
    EXHAUSTED = 2
    """Report that every attempt ended without a word (its workers died), then settle it as dead."""


class Verdict(IntEnum):
    """What became of a job that was handed out."""

    DONE = 0
    RETRY = 1
    DEAD = 2
    STALE = 3
    """Somebody else has it by now: this settlement changed nothing. Only ever an answer."""


@dataclass(frozen=True)
class Outcome:
    """How a worker settles a job.

    Attributes:
        id: of the job.
        epoch: of the lease it was handed out under.
        verdict: done, retry or dead.
        delay: seconds until a retry.
        reason: why it failed, for people; nothing private.
    """

    id: UUID
    epoch: int
    verdict: Verdict
    delay: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Lease:
    """A job in the hands of one worker, until it is settled or the lease ends.

    Attributes:
        id: of the job.
        company: whose it is.
        payload: as it was put in.
        priority: as it was put in.
        epoch: grows with every hand-out, also across a loss of Redis; fences late workers.
        attempt: 1 for the first.
        fate: what to do with it.
        waited: seconds since it could have run.
        last: no attempt is left after this one.
    """

    id: UUID
    company: str
    payload: bytes
    priority: int
    epoch: int
    attempt: int
    fate: Fate
    waited: float
    last: bool

    def done(self) -> Outcome:
        """It was done."""
        return Outcome(self.id, self.epoch, Verdict.DONE)

    def retry(self, delay: float, reason: str) -> Outcome:
        """It failed in passing; after the last attempt this makes it dead."""
        return Outcome(self.id, self.epoch, Verdict.RETRY, delay, reason[:REASON_CHARACTERS])

    def dead(self, reason: str) -> Outcome:
        """It failed and no other try will help."""
        return Outcome(self.id, self.epoch, Verdict.DEAD, reason=reason[:REASON_CHARACTERS])


@dataclass(frozen=True)
class Added:
    """What an enqueue did.

    Attributes:
        added: jobs that were not in the queue.
        known: jobs that were, and stay as they are.
    """

    added: int
    known: int


@dataclass(frozen=True)
class Reserved:
    """What a reserve handed out.

    Attributes:
        leases: jobs, those that wait longest or matter most first.
        next_seconds: when something falls due next, if anything is known to.
    """

    leases: list[Lease]
    next_seconds: float | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good.

    Attributes:
        id: of the job.
        company: whose it was.
        payload: as it was put in.
        attempts: made.
        reason: of the last failure.
        at: seconds since the epoch.
    """

    id: UUID
    company: str
    payload: bytes
    attempts: int
    reason: str
    at: float


@dataclass(frozen=True)
class Controls:
    """What an operator set.

    Attributes:
        paused: nothing is handed out to be run.
        draining: nothing new is taken; what waits is worked off.
        limit: jobs handed out per second at most; 0 means no limit.
    """

    paused: bool = False
    draining: bool = False
    limit: float = 0.0


@dataclass(frozen=True)
class Stats:
    """A queue at this moment.

    Attributes:
        waiting: jobs that could run, by priority.
        delayed: jobs whose time has not come.
        leased: jobs in the hands of workers.
        dead: dead letters kept.
        lanes: companies with waiting jobs, counted once per priority.
        at_risk: waiting jobs close to their deadline.
        oldest_seconds: age of the job that waits longest.
        rate: jobs per second that were handed out lately while there was work.
        wait_seconds: that a new job of priority 0, 1, 2, 3 would wait behind everything as urgent.
        totals: jobs added, done, retried, expired and dead, since Redis was last emptied.
        controls: what an operator set.
    """

    waiting: tuple[int, ...] = (0,) * PRIORITIES
    delayed: int = 0
    leased: int = 0
    dead: int = 0
    lanes: int = 0
    at_risk: int = 0
    oldest_seconds: float = 0.0
    rate: float = 0.0
    wait_seconds: tuple[float, ...] = (0.0,) * PRIORITIES
    totals: dict[str, int] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)

    @property
    def depth(self) -> int:
        """Jobs that could run now."""
        return sum(self.waiting)
