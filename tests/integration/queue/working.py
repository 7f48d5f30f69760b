"""A worker as a process of its own, for tests that kill it: `python -m tests.integration.queue.working PORT FILE`.

Runs the queue `test.work`: each job takes 20 ms and then appends its id to the file.
"""

from __future__ import annotations

import asyncio
import os
import sys
from random import Random
from typing import TYPE_CHECKING

from services.kit.health import Health
from services.kit.queue.engine import RedisQueue
from services.kit.queue.job import QueueName, QueueRules
from services.kit.queue.worker import Worker
from services.kit.redis import open_redis
from services.kit.settings import ProcessSettings, RedisSettings
from services.kit.tasks import Task, guard

if TYPE_CHECKING:
    from services.kit.queue.job import Lease

NAME = QueueName("test", "work")
RULES = QueueRules(lease_seconds=1, attempts=20)
JOB_SECONDS = 0.02


class Appending:
    """Writes down what was run, in one write per job."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def run(self, lease: Lease) -> None:
        await asyncio.sleep(JOB_SECONDS)
        os.write(self._file, f"{lease.id}\n".encode())

    async def lost(self, lease: Lease) -> None:
        os.write(self._file, f"lost {lease.id}\n".encode())


async def main(port: str, file: str) -> None:
    """Work until killed."""
    settings = RedisSettings(redis_server=f"127.0.0.1:{port}")
    async with open_redis(ProcessSettings(service="test"), settings) as connection:
        worker = Worker(RedisQueue(connection, NAME, RULES), Appending(file), concurrency=10, rng=Random())
        stop, health = asyncio.Event(), Health()
        await asyncio.gather(
            guard(Task("jobs", worker.run), stop, health),
            guard(Task("outcomes", worker.settle), stop, health),
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
