"""Our engine; runs in the project's own environment."""

from __future__ import annotations

import asyncio
import struct
import time
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import uvloop
from peer import Orders, Tally, orders, timetable, told

from services.kit.queue.engine import RedisQueue
from services.kit.queue.job import BATCH, Job, QueueName, QueueRules
from services.kit.queue.worker import Worker
from services.kit.redis import open_redis
from services.kit.settings import ProcessSettings, RedisSettings

if TYPE_CHECKING:
    from services.kit.queue.job import Lease

RULES = QueueRules(lease_seconds=2, attempts=100, most_waiting=10**9, patience_seconds=3600)
NUMBERS = struct.Struct(">dfBI")


def job(sent: float, asked: Orders, number: int) -> Job:
    """Make a job of one of ten companies."""
    payload = NUMBERS.pack(sent, asked.milliseconds, asked.priority, number)
    return Job(UUID(int=(asked.priority << 64) + number), f"company-{number % 10}", payload, asked.priority)


class Counting:
    """Runs jobs by counting them."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    async def run(self, lease: Lease) -> None:
        """See `Handler`."""
        started = time.time()
        sent, milliseconds, priority, number = NUMBERS.unpack(lease.payload)
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        self._tally.ran(sent, priority, number, started)

    async def lost(self, lease: Lease) -> None:
        """See `Handler`; nothing here has a deadline."""


async def main() -> None:
    """Do as asked."""
    asked = orders()
    settings = RedisSettings(redis_server=f"127.0.0.1:{asked.port}", redis_seconds=10)
    async with open_redis(ProcessSettings(service="benchmark"), settings) as connection:
        queue = RedisQueue(connection, QueueName("benchmark", "jobs"), RULES)
        if asked.verb == "work":
            worker = Worker(
                queue,
                Counting(Tally(asked.count, asked.file)),
                concurrency=asked.concurrency,
                rng=Random(),  # noqa: S311 - jitter
            )
            stop = asyncio.Event()
            await asyncio.gather(worker.run(stop), worker.settle(stop))
        elif asked.verb == "fill":
            began = time.time()
            for first in range(0, asked.count, BATCH):
                last = min(first + BATCH, asked.count)
                await queue.enqueue([job(time.time(), asked, number) for number in range(first, last)])
            told(time.time() - began)
        else:
            await queue.stats()
            for number, due in enumerate(timetable(asked.count)):
                await asyncio.sleep(max(0.0, due - time.time()))
                await queue.enqueue([job(due, asked, number)])


uvloop.run(main())
