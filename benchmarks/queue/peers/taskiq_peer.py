"""taskiq with its Redis stream broker, which acknowledges; no priorities."""

from __future__ import annotations

import asyncio
import time

import uvloop
from peer import ResultRecorder, parse_args, print_fill_time, trickle_times
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

ARGS = parse_args()
MAX_CONCURRENT_CALLS = 100
"""taskiq has no batch enqueue, so this many calls run concurrently."""
# A message whose worker has been silent for 2 s is claimed by another one; the default is 10 minutes.
broker = RedisStreamBroker(ARGS.url, consumer_id="0", idle_timeout=2000, xread_block=500)
recorder = ResultRecorder(ARGS.count, ARGS.file)


@broker.task(task_name="run")
async def run(sent_at: float, milliseconds: float, priority: int, number: int) -> None:
    """Run and record a job.

    Args:
        sent_at: send time of the job, `time.time`.
        milliseconds: duration of the job.
        priority: priority of the job.
        number: number of the job.
    """
    started_at = time.time()
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)
    recorder.record(sent_at, priority, number, started_at)


async def main() -> None:
    """Run the verb of the command line."""
    if ARGS.verb == "work":
        await run_receiver_task(
            broker, max_async_tasks=ARGS.concurrency, max_prefetch=ARGS.concurrency, run_startup=True
        )
        return
    await broker.startup()
    if ARGS.verb == "fill":
        started_at = time.time()
        for first in range(0, ARGS.count, MAX_CONCURRENT_CALLS):
            last = min(first + MAX_CONCURRENT_CALLS, ARGS.count)
            await asyncio.gather(
                *(
                    run.kiq(time.time(), ARGS.milliseconds, ARGS.priority, number)
                    for number in range(first, last)
                )
            )
        print_fill_time(time.time() - started_at)
    else:
        for number, due_at in enumerate(trickle_times(ARGS.count)):
            await asyncio.sleep(max(0.0, due_at - time.time()))
            await run.kiq(due_at, ARGS.milliseconds, ARGS.priority, number)


uvloop.run(main())
