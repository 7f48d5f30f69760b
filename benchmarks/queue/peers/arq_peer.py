"""arq: a sorted set by time, polled; no priorities."""

from __future__ import annotations

import asyncio
import time

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func
from peer import Tally, orders, timetable, told

ASKED = orders()
SERVER = RedisSettings(host="127.0.0.1", port=ASKED.port)
AT_ONCE = 100
"""It has no way to put in many at once; so many calls are under way."""


async def main() -> None:
    """Do as asked."""
    if ASKED.verb == "work":
        tally = Tally(ASKED.count, ASKED.file)

        async def run(_context: object, sent: float, milliseconds: float, priority: int, number: int) -> None:
            started = time.time()
            if milliseconds:
                await asyncio.sleep(milliseconds / 1000)
            tally.ran(sent, priority, number, started)

        # Its default of a look each 0.5 s would be most of what is measured.
        worker = Worker(
            [func(run, name="run")],
            redis_settings=SERVER,
            max_jobs=ASKED.concurrency,
            poll_delay=0.01,
            keep_result=0,
            job_timeout=5,
            max_tries=100,
            log_results=False,
            handle_signals=False,
        )
        await worker.async_run()
        return
    pool = await create_pool(SERVER)
    if ASKED.verb == "fill":
        began = time.time()
        for first in range(0, ASKED.count, AT_ONCE):
            last = min(first + AT_ONCE, ASKED.count)
            await asyncio.gather(
                *(
                    pool.enqueue_job("run", time.time(), ASKED.milliseconds, ASKED.priority, number)
                    for number in range(first, last)
                )
            )
        told(time.time() - began)
    else:
        for number, due in enumerate(timetable(ASKED.count)):
            await asyncio.sleep(max(0.0, due - time.time()))
            await pool.enqueue_job("run", due, ASKED.milliseconds, ASKED.priority, number)


uvloop.run(main())
