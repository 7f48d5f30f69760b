"""The queue in Redis. Every change is one script: it happens whole or not at all, in one round trip.

Times are the server's, so that workers need not agree on one; only `not_before` and `deadline`, which are
absolute, compare its clock with that of whoever wrote them. Memory: about 250 B per waiting job beside its
payload, plus 110 B where it has a deadline.

Per call: no retry beyond a broken pooled connection (every call may be repeated without harm, and whoever
repeats it knows better when), the settings' timeout, no breaker (the timeout is short and the caller's loop
pauses). Without Redis: `TemporaryError`; who owns the jobs goes on from Postgres.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.kit.errors import BusyError, InvalidError, TemporaryError
from services.kit.queue import metrics
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
from services.kit.queue.scripts import KEYS, SCRIPTS, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.kit.queue.job import Job, Outcome, QueueName, QueueRules
    from services.kit.redis import Connection

MICROS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOTALS = ("added", "done", "retried", "expired", "dead")
_LEASE_FIELDS = 7


class RedisQueue:
    """See `Queue`."""

    def __init__(
        self,
        connection: Connection,
        name: QueueName,
        rules: QueueRules,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Use a queue; it exists as soon as something is put into it.

        Args:
            connection: to Redis.
            name: which queue.
            rules: how it behaves.
            clock: seconds since the epoch, for tests; None means the server's.
        """
        self._name = name
        self._rules = rules
        self._connection = connection
        self._clock = clock
        self._keys = {key: f"esq:queue:{{{name}}}:{key}" for key in KEYS}

    @property
    def name(self) -> QueueName:
        """See `Queue`."""
        return self._name

    @property
    def rules(self) -> QueueRules:
        """See `Queue`."""
        return self._rules

    async def enqueue(self, jobs: Sequence[Job], *, owed: bool = False) -> Added:
        """See `Queue`."""
        _check(jobs)
        if not jobs:
            return Added(0, 0)
        values: list[Value] = [
            self._rules.most_waiting,
            int(owed),
            _micros(self._rules.remember_seconds),
        ]
        for job in jobs:
            values += (
                job.id.bytes,
                job.priority,
                job.company,
                _instant(job.not_before),
                _instant(job.deadline),
                job.payload,
            )
        answer = await self._run("enqueue", values)
        said = answer[0].decode()
        if said == "added":
            return Added(answer[1], len(jobs) - answer[1])
        metrics.refused(self._name, len(jobs))
        raise _refusal(self._name, said, *(each / MICROS for each in answer[1:]))

    async def reserve(self, most: int) -> Reserved:
        """See `Queue`."""
        rules = self._rules
        answer = await self._run(
            "reserve",
            (
                min(most, BATCH),
                _micros(rules.lease_seconds),
                rules.attempts,
                _micros(rules.patience_seconds),
                _micros(rules.risk_seconds),
            ),
        )
        epoch, due = answer[0], answer[1]
        leases = [
            Lease(
                id=UUID(bytes=answer[at]),
                company=answer[at + 1].decode(),
                payload=answer[at + 6],
                priority=answer[at + 2],
                epoch=epoch,
                attempt=answer[at + 4],
                fate=Fate(answer[at + 3]),
                waited=answer[at + 5] / MICROS,
                last=answer[at + 4] >= rules.attempts,
            )
            for at in range(2, len(answer), _LEASE_FIELDS)
        ]
        metrics.handed_out(self._name, leases)
        return Reserved(leases, None if due < 0 else due / MICROS)

    async def extend(self, leases: Sequence[Lease]) -> list[Lease]:
        """See `Queue`."""
        if not leases:
            return []
        values: list[Value] = [_micros(self._rules.lease_seconds)]
        for lease in leases:
            values += (lease.id.bytes, lease.epoch)
        held = await self._run("extend", values)
        return [lease for lease, ours in zip(leases, held, strict=True) if ours]

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """See `Queue`."""
        if not outcomes:
            return []
        values: list[Value] = [self._rules.attempts, _micros(self._rules.remember_seconds)]
        for outcome in outcomes:
            delay, reason = _micros(outcome.delay), outcome.reason.encode()[:255]
            values += (outcome.id.bytes, outcome.epoch, int(outcome.verdict), delay, reason)
        verdicts = [Verdict(each) for each in await self._run("settle", values)]
        metrics.settled(self._name, verdicts)
        return verdicts

    async def arrival(self, seconds: float) -> None:
        """See `Queue`."""
        await self._connection.block(self._keys["wake"], seconds)

    async def stats(self) -> Stats:
        """See `Queue`."""
        answer = await self._run("stats", (_micros(self._rules.risk_seconds), PRIORITIES))
        delayed, leased, dead, lanes, at_risk, oldest = answer[:6]
        paused, draining, limit, rate = answer[6:10]
        levels = answer[15:]
        return Stats(
            waiting=tuple(levels[0::2]),
            delayed=delayed,
            leased=leased,
            dead=dead,
            lanes=lanes,
            at_risk=at_risk,
            oldest_seconds=oldest / MICROS,
            rate=float(rate),
            wait_seconds=tuple(each / MICROS for each in levels[1::2]),
            totals=dict(zip(_TOTALS, map(int, answer[10:15]), strict=True)),
            controls=Controls(paused == b"1", draining == b"1", float(limit)),
        )

    async def dead(self, most: int) -> list[DeadLetter]:
        """See `Queue`."""
        found: Any = await self._connection.call(
            lambda client: client.lrange(self._keys["dead"], 0, most - 1), f"queue {self._name}"
        )
        return [_letter(each) for each in found]

    async def control(
        self, *, paused: bool | None = None, draining: bool | None = None, limit: float | None = None
    ) -> Controls:
        """See `Queue`."""
        given = {"paused": paused, "draining": draining, "limit": limit}
        fields: dict[Any, Value] = {
            name: float(value) if name == "limit" else int(value)
            for name, value in given.items()
            if value is not None
        }
        if fields:
            await self._connection.call(
                lambda client: client.hset(self._keys["meta"], mapping=fields), f"queue {self._name}"
            )
            await self._connection.call(
                lambda client: client.lpush(self._keys["wake"], "1"), f"queue {self._name}"
            )
        return (await self.stats()).controls

    async def adopt(self, origin: str, seconds: float, controls: Controls) -> tuple[int, Controls]:
        """Take the filling of an emptied Redis upon oneself.

        Args:
            origin: of the Redis as it is now.
            seconds: that the filling may take; then others may begin anew.
            controls: as they were last seen, written back when Redis has forgotten them.

        Returns:
            A token, or 0 when there is nothing to fill; and the controls that hold.
        """
        answer = await self._run(
            "adopt",
            (
                origin,
                _micros(seconds),
                int(controls.paused),
                int(controls.draining),
                controls.limit,
            ),
        )
        if answer[0]:
            return answer[0], controls
        return 0, Controls(answer[1] == b"1", answer[2] == b"1", float(answer[3]))

    async def adopted(self, origin: str, token: int) -> bool:
        """Say that the filling has ended; tell whether it counts."""
        return bool(await self._run("adopted", (origin, token)))

    async def origin(self) -> str:
        """Return what is another when this Redis may have lost something: after restarts and failovers."""
        found = await self._connection.call(lambda client: client.info("replication"), f"queue {self._name}")
        return str(found["master_replid"])

    async def _run(self, script: str, values: Sequence[Value]) -> Any:  # noqa: ANN401 - what Lua returns
        now = 0 if self._clock is None else _micros(self._clock())
        return await self._connection.call(
            lambda client: SCRIPTS[script].run(client, tuple(self._keys.values()), (now, *values)),
            f"queue {self._name}",
        )


def _check(jobs: Sequence[Job]) -> None:
    """Refuse what makes no sense, all of it together."""
    faults = [fault for job in jobs for fault in job.faults()]
    if len(jobs) > BATCH:
        faults.append(f"{len(jobs)} jobs at once, {BATCH} at most")
    if faults:
        raise InvalidError("; ".join(faults[:20]))


def _refusal(name: QueueName, said: str, wait: float = 0.0, beyond: float = 0.0) -> Exception:
    """Tell a producer why its jobs are not taken."""
    if said == "draining":
        return TemporaryError(f"queue {name} is being drained and takes nothing new", retry_after=30.0)
    if said == "full":
        return BusyError(f"queue {name} is full", wait=wait, retry_after=wait)
    return BusyError(
        f"queue {name}: the wait is {wait:.1f} s, {beyond:.1f} s beyond the deadline",
        wait=wait,
        retry_after=beyond,
    )


def _micros(seconds: float) -> int:
    return round(seconds * MICROS)


def _instant(moment: datetime | None) -> int:
    """Return microseconds since the epoch, 0 for none."""
    if moment is None:
        return 0
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * MICROS + since.microseconds


def _letter(raw: bytes) -> DeadLetter:
    """Take a dead letter apart: when, reason, id, record (see `settle.lua` and `common.lua`)."""
    at, size = int.from_bytes(raw[:7]), raw[7]
    reason, rest = raw[8 : 8 + size], raw[8 + size :]
    record = rest[16:]
    company = record[24 : 24 + record[23]]
    return DeadLetter(
        id=UUID(bytes=rest[:16]),
        company=company.decode(),
        payload=record[24 + record[23] :],
        attempts=record[1],
        reason=reason.decode(errors="replace"),
        at=at / MICROS,
    )
