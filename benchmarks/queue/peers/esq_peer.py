"""The queue of this project, with a minimal worker loop; runs in the project's own environment."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING
from uuid import UUID

import uvloop
from peer import BenchmarkArgs, ResultRecorder, parse_args, print_fill_time, trickle_times

from services.kit.queue.job import BATCH, Job, QueueConfig, QueueName
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.kit.settings import ProcessSettings, RedisSettings

if TYPE_CHECKING:
    from services.kit.queue.job import Lease

CONFIG = QueueConfig(lease_seconds=2, max_attempts=100, max_depth=10**9, aging_seconds=3600)
PAYLOAD = struct.Struct(">dfBI")
COMPANIES = 10
BATCH_DELAY_SECONDS = 0.002
"""Delay before a reserve or acknowledgement, so that one call covers more jobs."""
LONG_POLL_SECONDS = 1.0


def create_job(sent_at: float, args: BenchmarkArgs, number: int) -> Job:
    """Create a job of one of ten companies.

    Args:
        sent_at: send time, `time.time`.
        args: priority and duration of the job.
        number: number of the job.

    Returns:
        The job.
    """
    payload = PAYLOAD.pack(sent_at, args.milliseconds, args.priority, number)
    job_id = UUID(int=(args.priority << 64) + number)
    return Job(job_id, f"company-{number % COMPANIES}", payload, args.priority)


class Worker:
    """Reserves jobs, runs them concurrently and acknowledges them in batches.

    Jobs are shorter than their lease and do not fail, so there are no lease extensions and no retries. The
    jobs of a killed worker are handed out again when their leases expire.
    """

    def __init__(self, queue: RedisQueue, recorder: ResultRecorder, concurrency: int) -> None:
        self._queue = queue
        self._recorder = recorder
        self._concurrency = concurrency
        self._running: set[asyncio.Task[None]] = set()
        self._finished: list[Lease] = []
        self._slot_freed = asyncio.Event()
        self._job_finished = asyncio.Event()

    async def run(self) -> None:
        """Reserve and run jobs until the process exits."""
        while True:
            self._slot_freed.clear()
            free = self._concurrency - len(self._running)
            if free <= 0:
                await self._slot_freed.wait()
                continue
            if free < self._concurrency // 4:
                await asyncio.sleep(BATCH_DELAY_SECONDS)
                free = self._concurrency - len(self._running)
            reserved = await self._queue.reserve(min(free, BATCH))
            for lease in reserved.leases:
                task = asyncio.create_task(self._run_job(lease))
                self._running.add(task)
                task.add_done_callback(self._release)
            if not reserved.leases:
                due = LONG_POLL_SECONDS if reserved.next_due_seconds is None else reserved.next_due_seconds
                await self._queue.wait_for_job(min(LONG_POLL_SECONDS, due))

    async def acknowledge(self) -> None:
        """Acknowledge finished jobs until the process exits."""
        while True:
            await self._job_finished.wait()
            self._job_finished.clear()
            while batch := self._finished[:BATCH]:
                await self._queue.ack(batch)
                del self._finished[: len(batch)]
                await asyncio.sleep(BATCH_DELAY_SECONDS)

    async def _run_job(self, lease: Lease) -> None:
        started_at = time.time()
        sent_at, milliseconds, priority, number = PAYLOAD.unpack(lease.payload)
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        self._recorder.record(sent_at, priority, number, started_at)
        self._finished.append(lease)
        self._job_finished.set()

    def _release(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slot_freed.set()


async def main() -> None:
    """Run the verb of the command line."""
    args = parse_args()
    settings = RedisSettings(redis_server=f"127.0.0.1:{args.port}", redis_timeout_seconds=10)
    async with open_redis(ProcessSettings(service="benchmark"), settings) as redis_client:
        queue = RedisQueue(redis_client, QueueName("benchmark", "jobs"), CONFIG)
        if args.verb == "work":
            worker = Worker(queue, ResultRecorder(args.count, args.file), args.concurrency)
            await asyncio.gather(worker.run(), worker.acknowledge())
        elif args.verb == "fill":
            started_at = time.time()
            for first in range(0, args.count, BATCH):
                last = min(first + BATCH, args.count)
                await queue.enqueue([create_job(time.time(), args, number) for number in range(first, last)])
            print_fill_time(time.time() - started_at)
        else:
            await queue.stats()
            for number, due_at in enumerate(trickle_times(args.count)):
                await asyncio.sleep(max(0.0, due_at - time.time()))
                await queue.enqueue([create_job(due_at, args, number)])


uvloop.run(main())
