"""Prometheus metrics of queues, by queue and class of work. Never by company: too many label values."""

from __future__ import annotations

import logging
from collections import Counter as Count
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.kit.errors import TemporaryError
from services.kit.queue.job import Disposition
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from services.kit.queue.job import JobResult, Lease, QueueName, Stats
    from services.kit.queue.ports import Queue

log = logging.getLogger(__name__)
LABELS = ("queue", "class")
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

UP = Gauge("esq_queue_up", "1 if Redis answered the last poll", LABELS)
READY = Gauge("esq_queue_ready_jobs", "Jobs that can run now", [*LABELS, "priority"])
DELAYED = Gauge("esq_queue_delayed_jobs", "Jobs whose start time has not come", LABELS)
LEASED = Gauge("esq_queue_leased_jobs", "Jobs held by consumers", LABELS)
OLDEST_AGE = Gauge("esq_queue_oldest_job_age_seconds", "Time since the oldest ready job became ready", LABELS)
NEAR_DEADLINE = Gauge("esq_queue_near_deadline_jobs", "Ready jobs close to their deadline", LABELS)
PAUSED = Gauge("esq_queue_paused", "1 while the queue is paused", LABELS)
WAIT = Histogram(
    "esq_queue_wait_seconds",
    "Time from when a job became ready until it was reserved",
    LABELS,
    buckets=_BUCKETS,
)
RESERVED = Counter("esq_queue_jobs_reserved", "Jobs reserved, by disposition", [*LABELS, "disposition"])
COMPLETED = Counter("esq_queue_jobs_completed", "Jobs acknowledged, by result", [*LABELS, "result"])
REJECTED = Counter(
    "esq_queue_jobs_rejected", "Jobs rejected: too late for their deadline, queue full or draining", LABELS
)


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
    for gauge, value in values.items():
        gauge.labels(name.domain, name.kind).set(value)
