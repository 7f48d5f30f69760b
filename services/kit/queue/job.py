"""Value types of the queue, shared by the Redis implementation, its fake and their callers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, UUID, uuid5

from services.kit.errors import InvalidError
from services.kit.http.auth import COMPANY_PATTERN

if TYPE_CHECKING:
    from datetime import datetime

PRIORITIES = 4
"""0 is the highest. Few levels, since strict order among many levels has no useful meaning."""
PAYLOAD_BYTES = 256
"""Maximum size: payloads are ids and small values; large data is stored in Postgres."""
BATCH = 1000
"""Maximum number of jobs per call: longer scripts would block other callers for milliseconds."""
_PART = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class QueueName:
    """Name of a queue: one kind of work of one domain.

    Attributes:
        domain: the service that owns the work, e.g. `whatsapp`.
        kind: the class of work, e.g. `dispatch`.
    """

    domain: str
    kind: str

    def __post_init__(self) -> None:
        for part in (self.domain, self.kind):
            if not _PART.fullmatch(part):
                raise InvalidError(f"not a queue name: {part!r}; use lower-case letters, digits and hyphens")

    def __str__(self) -> str:
        return f"{self.domain}.{self.kind}"


@dataclass(frozen=True)
class QueueConfig:
    """Configuration of a queue; identical for all of its jobs and in all processes that use it.

    Attributes:
        lease_seconds: a job that is not acknowledged within this time is handed out again.
        max_attempts: attempts after which a job is handed out as `EXHAUSTED`.
        aging_seconds: a job that has waited longer is aged; every tenth selection is for aged jobs.
        deadline_margin_seconds: a job this close to its deadline gets every second selection.
        dedup_ttl_seconds: time for which the id of a completed job counts as a duplicate; 0 for none.
        max_depth: maximum number of ready and delayed jobs, to protect Redis memory; about 300 B each.
    """

    lease_seconds: float = 30.0
    max_attempts: int = 5
    aging_seconds: float = 30.0
    deadline_margin_seconds: float = 5.0
    dedup_ttl_seconds: float = 0.0
    max_depth: int = 50_000


@dataclass(frozen=True)
class Job:
    """A unit of work.

    Attributes:
        id: deduplication key: a job whose id is in the queue is not added again.
        company: tenant; companies share a queue fairly.
        payload: what the consumer needs in addition to the id, at most 256 bytes.
        priority: priority from 0 to 3; 0 is the highest.
        not_before: earliest start; a time in the past states since when the job is ready.
        deadline: a job that has not started by then is handed out as `EXPIRED` and must not run.
    """

    id: UUID
    company: str
    payload: bytes = b""
    priority: int = 2
    not_before: datetime | None = None
    deadline: datetime | None = None

    def validation_errors(self) -> list[str]:
        """Return a message for each invalid attribute."""
        errors = []
        if not COMPANY_PATTERN.fullmatch(self.company):
            errors.append(f"job {self.id}: not a company: {self.company!r}")
        if not 0 <= self.priority < PRIORITIES:
            errors.append(f"job {self.id}: priority {self.priority} is not 0 to {PRIORITIES - 1}")
        if len(self.payload) > PAYLOAD_BYTES:
            errors.append(f"job {self.id}: payload of {len(self.payload)} bytes, maximum {PAYLOAD_BYTES}")
        if self.deadline and self.not_before and self.deadline <= self.not_before:
            errors.append(f"job {self.id}: deadline is not after not_before")
        return errors


def job_id_from_key(key: str) -> UUID:
    """Return the id of work that has a natural key; deterministic."""
    return uuid5(NAMESPACE_OID, key)


class Disposition(IntEnum):
    """What a consumer must do with a job it received."""

    RUN = 0
    """Run the job."""
    EXPIRED = 1
    """Report that the deadline has passed, then acknowledge the job. Do not run it."""
    EXHAUSTED = 2
    """Report that no attempt was acknowledged (consumers crashed), then acknowledge the job."""


class JobResult(IntEnum):
    """Result of an acknowledgement."""

    DONE = 0
    FENCED = 1
    """The lease was lost to another consumer: the acknowledgement changed nothing."""


@dataclass(frozen=True)
class Lease:
    """A job held by one consumer, until it is acknowledged or the lease expires.

    Attributes:
        id: id of the job.
        company: tenant of the job.
        payload: payload of the job.
        priority: priority of the job.
        epoch: increases with every lease, also across a loss of Redis; fences consumers with a lost lease.
        attempt: number of the attempt, from 1.
        disposition: what to do with the job.
        waited_seconds: time since the job became ready.
    """

    id: UUID
    company: str
    payload: bytes
    priority: int
    epoch: int
    attempt: int
    disposition: Disposition
    waited_seconds: float


@dataclass(frozen=True)
class EnqueueResult:
    """Result of `Queue.enqueue`.

    Attributes:
        added: jobs that were not in the queue.
        duplicates: jobs that were already in the queue; they stay unchanged.
    """

    added: int
    duplicates: int


@dataclass(frozen=True)
class ReserveResult:
    """Result of `Queue.reserve`.

    Attributes:
        leases: jobs in the order in which to run them.
        next_due_seconds: time until the next delay or lease ends; None if there is none.
    """

    leases: list[Lease]
    next_due_seconds: float | None = None


@dataclass(frozen=True)
class Controls:
    """Operator controls.

    Attributes:
        paused: whether no jobs are handed out to be run.
        draining: whether no new jobs are accepted; those in the queue are still handed out.
        rate_limit: maximum number of jobs handed out per second; 0 means no limit.
    """

    paused: bool = False
    draining: bool = False
    rate_limit: float = 0.0


@dataclass(frozen=True)
class Stats:
    """State of a queue at one moment.

    Attributes:
        ready: jobs that can run, by priority.
        delayed: jobs whose start time has not come.
        leased: jobs held by consumers.
        lanes: companies with ready jobs, counted once per priority.
        near_deadline: ready jobs close to their deadline.
        oldest_age_seconds: time since the oldest ready job became ready.
        throughput: recent jobs per second handed out while there was work.
        estimated_wait_seconds: wait of a new job of priority 0, 1, 2, 3 behind all jobs of at least its
            priority.
        totals: jobs added, done and expired, since Redis was last emptied.
        controls: operator controls.
    """

    ready: tuple[int, ...] = (0,) * PRIORITIES
    delayed: int = 0
    leased: int = 0
    lanes: int = 0
    near_deadline: int = 0
    oldest_age_seconds: float = 0.0
    throughput: float = 0.0
    estimated_wait_seconds: tuple[float, ...] = (0.0,) * PRIORITIES
    totals: dict[str, int] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls)

    @property
    def depth(self) -> int:
        """Number of ready jobs."""
        return sum(self.ready)
