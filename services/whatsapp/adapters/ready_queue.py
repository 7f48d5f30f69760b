"""Ready queue in Redis, with a fallback to Postgres while Redis is unavailable. See `ports.ReadyQueue`.

An entry says that a connection may have messages to send; which messages are sent, and by which dispatcher,
is decided by leases in Postgres only. So an entry may be lost or delivered twice without harm: the reconciler
pushes all connections with due messages every two seconds. An entry is removed before messages are leased: a
message that arrives meanwhile finds no entry and pushes a new one, so that none is missed.

A draining queue rejects every push. The reconciler pushes the connections again after `esq queue resume`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.kit.queue.job import BATCH, Job, QueueConfig, QueueName, job_id_from_key
from services.kit.queue.ports import DrainingError
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.ports import RESYNC_INTERVAL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.circuit_breaker import CircuitBreaker
    from services.kit.queue.job import Lease
    from services.kit.queue.ports import Queue
    from services.whatsapp.ports import ReadyConnections

DISPATCH = QueueName("whatsapp", "dispatch")
"""Connections with messages to send: replies before campaign messages, companies round-robin."""
QUEUES = {DISPATCH: QueueConfig(lease_seconds=10, max_attempts=10, aging_seconds=5)}
"""The queues of this service, one per class of work."""
REPLIES_PRIORITY, CAMPAIGNS_PRIORITY = 0, 2
PUSH_TIMEOUT_SECONDS = 0.5
"""Adding a message waits no longer than this for the queue: the reconciler pushes its connection too."""
log = logging.getLogger(__name__)


class RedisReadyQueue:
    """See `ports.ReadyQueue`."""

    def __init__(
        self, queue: Queue, breaker: CircuitBreaker, fallback: ReadyConnections | None = None
    ) -> None:
        """Set up the queue.

        Args:
            queue: the Redis queue.
            breaker: circuit breaker of the calls to Redis.
            fallback: source of ready connections while Redis is unavailable; None where nothing is popped.
        """
        self._queue = queue
        self._breaker = breaker
        self._fallback = fallback
        self._next_due_seconds = 0.0

    async def pop(self, limit: int) -> list[ReadyConnection]:
        """See `ports.ReadyQueue.pop`; without Redis it returns the connections with due messages.

        Raises:
            TemporaryError: the database is unavailable too.
        """
        try:
            async with self._breaker.call():
                reserved = await self._queue.reserve(limit)
                await self._queue.ack(reserved.leases)
        except TemporaryError:
            self._next_due_seconds = RESYNC_INTERVAL_SECONDS
            return await self._fallback.list_ready(limit) if self._fallback else []
        next_due_seconds = reserved.next_due_seconds
        self._next_due_seconds = RESYNC_INTERVAL_SECONDS if next_due_seconds is None else next_due_seconds
        return [_connection_from_lease(lease) for lease in reserved.leases]

    async def push(self, connections: Sequence[tuple[ReadyConnection, float]]) -> None:
        """See `ports.ReadyQueue.push`."""
        now = dt.datetime.now(dt.UTC)
        entries = (_job(connection, now, delay_seconds) for connection, delay_seconds in connections)
        jobs = list({job.id: job for job in entries}.values())
        try:
            for start in range(0, len(jobs), BATCH):
                await self._push_batch(jobs[start : start + BATCH])
        except TemporaryError as error:
            extra = {"action": "push_ready_connections"}
            log.debug("%d connections wait for the reconciler: %s", len(jobs), error, extra=extra)

    async def _push_batch(self, jobs: Sequence[Job]) -> None:
        async with self._breaker.call():
            try:
                async with asyncio.timeout(PUSH_TIMEOUT_SECONDS):
                    await self._queue.enqueue(jobs, admitted=True)
            except TimeoutError:
                raise TemporaryError(f"Redis did not respond in {PUSH_TIMEOUT_SECONDS:g} s") from None
            except DrainingError as error:  # Redis answered: the breaker stays closed
                extra = {"action": "push_ready_connections"}
                log.debug("%d connections wait until the queue is resumed: %s", len(jobs), error, extra=extra)

    async def wait(self, timeout_seconds: float) -> None:
        """See `ports.ReadyQueue.wait`."""
        wait_seconds = min(timeout_seconds, self._next_due_seconds)
        try:
            async with self._breaker.call():
                await self._queue.wait_for_job(wait_seconds)
        except TemporaryError:
            await asyncio.sleep(wait_seconds)


def _job(connection: ReadyConnection, now: dt.datetime, delay_seconds: float) -> Job:
    kind = "replies" if connection.replies else "campaigns"
    return Job(
        job_id_from_key(f"ready/{connection.company}/{connection.connection}/{kind}"),
        connection.company,
        connection.connection.encode(),
        REPLIES_PRIORITY if connection.replies else CAMPAIGNS_PRIORITY,
        now + dt.timedelta(seconds=delay_seconds) if delay_seconds else None,
    )


def _connection_from_lease(lease: Lease) -> ReadyConnection:
    replies = lease.priority == REPLIES_PRIORITY
    return ReadyConnection(lease.company, lease.payload.decode(), replies=replies)
