"""Prometheus metrics of queues, by queue and class of work. Never by company: too many label values."""

from __future__ import annotations

import logging
from collections import Counter as Count
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.errors import TemporaryError
from services.kit.observability.metrics import counter, gauge, histogram
from services.kit.queue.job import Disposition
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from services.kit.queue.job import JobResult, Lease, QueueName, Stats
    from services.kit.queue.ports import Queue

log = logging.getLogger(__name__)
UP = gauge(telemetry.QUEUE_UP)
READY = gauge(telemetry.QUEUE_READY)
DELAYED = gauge(telemetry.QUEUE_DELAYED)
LEASED = gauge(telemetry.QUEUE_LEASED)
OLDEST_AGE = gauge(telemetry.QUEUE_OLDEST_AGE)
NEAR_DEADLINE = gauge(telemetry.QUEUE_NEAR_DEADLINE)
PAUSED = gauge(telemetry.QUEUE_PAUSED)
WAIT = histogram(telemetry.QUEUE_WAIT)
RESERVED = counter(telemetry.QUEUE_RESERVED)
COMPLETED = counter(telemetry.QUEUE_COMPLETED)
REJECTED = counter(telemetry.QUEUE_REJECTED)


def record_reserved(name: QueueName, leases: Sequence[Lease]) -> None:
    """Count reserved jobs and their waiting time.

    Args:
        name: the queue.
        leases: the reserved jobs.
    """
    wait = WAIT.labels(name.domain, name.kind)
    for lease in leases:
        if lease.disposition is Disposition.RUN:
            wait.observe(lease.waited_seconds)
    for disposition, count in Count(lease.disposition for lease in leases).items():
        RESERVED.labels(name.domain, name.kind, disposition.name.lower()).inc(count)


def record_completed(name: QueueName, results: Sequence[JobResult]) -> None:
    """Count acknowledged jobs.

    Args:
        name: the queue.
        results: the result of each acknowledgement.
    """
    for result, count in Count(results).items():
        COMPLETED.labels(name.domain, name.kind, result.name.lower()).inc(count)


def record_rejected(name: QueueName, jobs: int) -> None:
    """Count rejected jobs.

    Args:
        name: the queue.
        jobs: number of jobs.
    """
    REJECTED.labels(name.domain, name.kind).inc(jobs)


class QueueMetricsExporter:
    """Background task that sets the gauges of a queue. Every process that runs it exports the same values."""

    def __init__(self, queue: Queue, *, interval_seconds: float = 5.0) -> None:
        self._queue = queue
        self._interval = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until stopped. Without Redis the gauges keep their values, except `esq_queue_up`."""
        name = self._queue.name
        while not stop.is_set():
            try:
                export_stats(name, await self._queue.stats())
            except TemporaryError as error:
                UP.labels(name.domain, name.kind).set(0)
                log.warning(
                    "Queue %s is unavailable: %s", name, error, extra={"action": "export_queue_metrics"}
                )
            await sleep_unless_stopped(stop, self._interval)


def export_stats(name: QueueName, stats: Stats) -> None:
    """Set the gauges.

    Args:
        name: the queue.
        stats: its state.
    """
    for priority, count in enumerate(stats.ready):
        READY.labels(name.domain, name.kind, str(priority)).set(count)
    values = {
        UP: 1,
        DELAYED: stats.delayed,
        LEASED: stats.leased,
        OLDEST_AGE: stats.oldest_age_seconds,
        NEAR_DEADLINE: stats.near_deadline,
        PAUSED: stats.controls.paused,
    }
    for metric, value in values.items():
        metric.labels(name.domain, name.kind).set(value)
