"""Redis implementation of the queue. Every change is one Lua script: atomic, in one round trip.

Times are those of the Redis server, so that consumers need no common clock. Only `not_before` and `deadline`,
which are absolute, compare the server clock with the producer's. Memory: about 250 B per ready job in
addition to its payload, plus 110 B if it has a deadline.

Resilience per call: no retry except for a broken pooled connection (every call is safe to repeat, and the
caller knows better when), the timeout of the settings, no circuit breaker (the timeout is short and the
caller's loop backs off). When Redis is unavailable: `TemporaryError`; the owner of the jobs continues from
Postgres.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.contracts.redis_access import queue_key
from services.kit.errors import InvalidError, OverloadedError
from services.kit.queue import metrics
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
from services.kit.queue.lua_scripts import KEYS, SCRIPTS, Value
from services.kit.queue.ports import DrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.kit.queue.job import Job, QueueConfig, QueueName
    from services.kit.redis.client import RedisClient

MICROSECONDS = 1_000_000
MAX_REPORTED_ERRORS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOTALS = ("added", "done", "expired")
_LEASE_FIELDS = 7


class RedisQueue:
    """See `ports.Queue`."""

    def __init__(
        self,
        redis_client: RedisClient,
        name: QueueName,
        config: QueueConfig,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Use a queue; it exists as soon as a job is added.

        Args:
            redis_client: client of the Redis primary.
            name: name of the queue.
            config: configuration of the queue.
            clock: seconds since the epoch, for tests; None uses the clock of the Redis server.
        """
        self._name = name
        self._config = config
        self._redis_client = redis_client
        self._clock = clock
        self._keys = {key: queue_key(name.domain, name.kind, key) for key in KEYS}

    @property
    def name(self) -> QueueName:
        """See `ports.Queue.name`."""
        return self._name

    @property
    def config(self) -> QueueConfig:
        """See `ports.Queue.config`."""
        return self._config

    async def enqueue(self, jobs: Sequence[Job], *, admitted: bool = False) -> EnqueueResult:
        """See `ports.Queue.enqueue`."""
        _validate(jobs)
        if not jobs:
            return EnqueueResult(0, 0)
        values: list[Value] = [
            self._config.max_depth,
            int(admitted),
            _microseconds(self._config.dedup_ttl_seconds),
        ]
        for job in jobs:
            values += (
                job.id.bytes,
                job.priority,
                job.company,
                _timestamp(job.not_before),
                _timestamp(job.deadline),
                job.payload,
            )
        reply = await self._run("enqueue", values)
        status = reply[0].decode()
        if status == "added":
            return EnqueueResult(reply[1], len(jobs) - reply[1])
        metrics.record_rejected(self._name, len(jobs))
        raise _rejection(self._name, status, *(microseconds / MICROSECONDS for microseconds in reply[1:]))

    async def reserve(self, max_jobs: int) -> ReserveResult:
        """See `ports.Queue.reserve`."""
        config = self._config
        reply = await self._run(
            "reserve",
            (
                min(max_jobs, BATCH),
                _microseconds(config.lease_seconds),
                config.max_attempts,
                _microseconds(config.aging_seconds),
                _microseconds(config.deadline_margin_seconds),
            ),
        )
        epoch, due = reply[0], reply[1]
        leases = [
            Lease(
                id=UUID(bytes=reply[at]),
                company=reply[at + 1].decode(),
                payload=reply[at + 6],
                priority=reply[at + 2],
                epoch=epoch,
                attempt=reply[at + 4],
                disposition=Disposition(reply[at + 3]),
                waited_seconds=reply[at + 5] / MICROSECONDS,
            )
            for at in range(2, len(reply), _LEASE_FIELDS)
        ]
        metrics.record_reserved(self._name, leases)
        return ReserveResult(leases, None if due < 0 else due / MICROSECONDS)

    async def ack(self, leases: Sequence[Lease]) -> list[JobResult]:
        """See `ports.Queue.ack`."""
        if not leases:
            return []
        values: list[Value] = [_microseconds(self._config.dedup_ttl_seconds)]
        for lease in leases:
            values += (lease.id.bytes, lease.epoch)
        results = [JobResult(code) for code in await self._run("ack", values)]
        metrics.record_completed(self._name, results)
        return results

    async def wait_for_job(self, seconds: float) -> None:
        """See `ports.Queue.wait_for_job`."""
        await self._redis_client.blocking_pop(self._keys["wake"], seconds)

    async def stats(self) -> Stats:
        """See `ports.Queue.stats`."""
        margin = _microseconds(self._config.deadline_margin_seconds)
        reply = await self._run("stats", (margin, PRIORITIES))
        delayed, leased, lanes, near_deadline, oldest = reply[:5]
        paused, draining, rate_limit, throughput = reply[5:9]
        levels = reply[12:]
        return Stats(
            ready=tuple(levels[0::2]),
            delayed=delayed,
            leased=leased,
            lanes=lanes,
            near_deadline=near_deadline,
            oldest_age_seconds=oldest / MICROSECONDS,
            throughput=float(throughput),
            estimated_wait_seconds=tuple(wait / MICROSECONDS for wait in levels[1::2]),
            totals=dict(zip(_TOTALS, map(int, reply[9:12]), strict=True)),
            controls=Controls(paused == b"1", draining == b"1", float(rate_limit)),
        )

    async def update_controls(
        self, *, paused: bool | None = None, draining: bool | None = None, rate_limit: float | None = None
    ) -> Controls:
        """See `ports.Queue.update_controls`."""
        changes = {"paused": paused, "draining": draining, "rate_limit": rate_limit}
        fields: dict[Any, Value] = {
            name: float(value) if name == "rate_limit" else int(value)
            for name, value in changes.items()
            if value is not None
        }
        if fields:
            await self._redis_client.call(
                lambda client: client.hset(self._keys["meta"], mapping=fields), f"queue {self._name}"
            )
            await self._redis_client.call(
                lambda client: client.lpush(self._keys["wake"], "1"), f"queue {self._name}"
            )
        return (await self.stats()).controls

    async def _run(self, script: str, values: Sequence[Value]) -> Any:  # noqa: ANN401 - return value of a Lua script
        now = 0 if self._clock is None else _microseconds(self._clock())
        return await self._redis_client.call(
            lambda client: SCRIPTS[script].run(client, tuple(self._keys.values()), (now, *values)),
            f"queue {self._name}",
        )


def _validate(jobs: Sequence[Job]) -> None:
    """Raise all validation errors of a batch at once."""
    errors = [error for job in jobs for error in job.validation_errors()]
    if len(jobs) > BATCH:
        errors.append(f"{len(jobs)} jobs in one call, maximum {BATCH}")
    if errors:
        raise InvalidError("; ".join(errors[:MAX_REPORTED_ERRORS]))


def _rejection(
    name: QueueName, status: str, wait_seconds: float = 0.0, overrun_seconds: float = 0.0
) -> Exception:
    """Return the error for jobs that were rejected."""
    if status == "draining":
        return DrainingError(f"queue {name} is draining and accepts no new jobs", retry_after=30.0)
    if status == "full":
        return OverloadedError(f"queue {name} is full", wait_seconds=wait_seconds, retry_after=wait_seconds)
    return OverloadedError(
        f"queue {name}: the wait is {wait_seconds:.1f} s, {overrun_seconds:.1f} s beyond the deadline",
        wait_seconds=wait_seconds,
        retry_after=overrun_seconds,
    )


def _microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def _timestamp(time: datetime | None) -> int:
    """Return microseconds since the epoch, 0 for None."""
    if time is None:
        return 0
    since_epoch = time - _EPOCH
    return (since_epoch.days * 86_400 + since_epoch.seconds) * MICROSECONDS + since_epoch.microseconds
