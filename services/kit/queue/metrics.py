"""Prometheus metrics of queues, by queue and class of work. Never by company: there are too many of them."""

from __future__ import annotations

import logging
from collections import Counter as Count
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.kit.errors import TemporaryError
from services.kit.queue.job import Fate, Verdict
from services.kit.retry import wait_or_stop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from services.kit.queue.job import Lease, QueueName, Stats
    from services.kit.queue.port import Queue

log = logging.getLogger(__name__)
LABELS = ("queue", "class")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

UP = Gauge("esq_queue_up", "1 when Redis answered the last look", LABELS)
DEPTH = Gauge("esq_queue_depth", "Jobs that could run now", [*LABELS, "priority"])
DELAYED = Gauge("esq_queue_delayed", "Jobs whose time has not come", LABELS)
LEASED = Gauge("esq_queue_leased", "Jobs in the hands of workers", LABELS)
OLDEST = Gauge("esq_queue_oldest_seconds", "Age of the job that waits longest", LABELS)
AT_RISK = Gauge("esq_queue_at_risk", "Waiting jobs close to their deadline", LABELS)
PAUSED = Gauge("esq_queue_paused", "1 while nothing is handed out", LABELS)
WAIT = Histogram(
    "esq_queue_wait_seconds", "From when a job could run until it was handed out", LABELS, buckets=_SECONDS
)
RUN = Histogram(
    "esq_queue_run_seconds", "From when a job was handed out until its end", LABELS, buckets=_SECONDS
)
HANDED = Counter(
    "esq_queue_handed_out", "Jobs handed out, by what was to be done with them", [*LABELS, "fate"]
)
SETTLED = Counter("esq_queue_settled", "Jobs settled, by verdict", [*LABELS, "verdict"])
REFUSED = Counter(
    "esq_queue_refused", "Jobs that could not have run before their deadline, or found no room", LABELS
)


def handed_out(name: QueueName, leases: Sequence[Lease]) -> None:
    """Count what a reserve handed out."""
    wait = WAIT.labels(name.domain, name.kind)
    for lease in leases:
        if lease.fate is Fate.RUN:
            wait.observe(lease.waited)
    for fate, count in Count(lease.fate for lease in leases).items():
        HANDED.labels(name.domain, name.kind, fate.name.lower()).inc(count)


def settled(name: QueueName, verdicts: Sequence[Verdict]) -> None:
    """Count what was written."""
    for verdict, count in Count(verdicts).items():
        SETTLED.labels(name.domain, name.kind, verdict.name.lower()).inc(count)


def refused(name: QueueName, jobs: int) -> None:
    """Count jobs that were not taken."""
    REFUSED.labels(name.domain, name.kind).inc(jobs)


def ran(name: QueueName, seconds: float) -> None:
    """Count the time that a job took."""
    RUN.labels(name.domain, name.kind).observe(seconds)


class Watch:
    """Looks at a queue now and then, for the gauges. Every process that watches shows the same figures."""

    def __init__(self, queue: Queue, *, every_seconds: float = 5.0) -> None:
        self._queue = queue
        self._every = every_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop. Without Redis the gauges stay as they were, save the one that says so."""
        name = self._queue.name
        while not stop.is_set():
            try:
                show(name, await self._queue.stats())
            except TemporaryError as error:
                UP.labels(name.domain, name.kind).set(0)
                log.warning("Queue %s cannot be seen: %s", name, error, extra={"action": "watch"})
            await wait_or_stop(stop, self._every)


def show(name: QueueName, stats: Stats) -> None:
    """Set the gauges."""
    for priority, depth in enumerate(stats.waiting):
        DEPTH.labels(name.domain, name.kind, str(priority)).set(depth)
    values = {
        UP: 1,
        DELAYED: stats.delayed,
        LEASED: stats.leased,
        OLDEST: stats.oldest_seconds,
        AT_RISK: stats.at_risk,
        PAUSED: stats.controls.paused,
    }
    for gauge, value in values.items():
        gauge.labels(name.domain, name.kind).set(value)
