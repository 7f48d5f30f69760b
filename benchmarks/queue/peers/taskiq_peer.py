"""taskiq with its Redis stream broker, the one that acknowledges; no priorities."""

from __future__ import annotations

import asyncio
import time

import uvloop
from peer import Tally, orders, timetable, told
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

ASKED = orders()
AT_ONCE = 100
"""It has no way to put in many at once; so many calls are under way."""
# A message whose worker is silent for 2 s is claimed by another; the default is 10 minutes.
broker = RedisStreamBroker(ASKED.url, consumer_id="0", idle_timeout=2000, xread_block=500)
tally = Tally(ASKED.count, ASKED.file)


@broker.task(task_name="run")
async def run(sent: float, milliseconds: float, priority: int, number: int) -> None:
    """Count it."""
    started = time.time()
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)
    tally.ran(sent, priority, number, started)


async def main() -> None:
    """Do as asked."""
    if ASKED.verb == "work":
        await run_receiver_task(
            broker, max_async_tasks=ASKED.concurrency, max_prefetch=ASKED.concurrency, run_startup=True
        )
        return
    await broker.startup()
    if ASKED.verb == "fill":
        began = time.time()
        for first in range(0, ASKED.count, AT_ONCE):
            last = min(first + AT_ONCE, ASKED.count)
            await asyncio.gather(
                *(
                    run.kiq(time.time(), ASKED.milliseconds, ASKED.priority, number)
                    for number in range(first, last)
                )
            )
        told(time.time() - began)
    else:
        for number, due in enumerate(timetable(ASKED.count)):
            await asyncio.sleep(max(0.0, due - time.time()))
            await run.kiq(due, ASKED.milliseconds, ASKED.priority, number)


uvloop.run(main())
