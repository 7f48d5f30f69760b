"""arq: a sorted set by time, polled; no priorities."""

from __future__ import annotations

import asyncio
import time

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func
from peer import ResultRecorder, parse_args, print_fill_time, trickle_times

ARGS = parse_args()
SERVER = RedisSettings(host="127.0.0.1", port=ARGS.port)
MAX_CONCURRENT_CALLS = 100
"""arq has no batch enqueue, so this many calls run concurrently."""


async def main() -> None:
    """Run the verb of the command line."""
    if ARGS.verb == "work":
        recorder = ResultRecorder(ARGS.count, ARGS.file)

        async def _run_job(
            _context: object, sent_at: float, milliseconds: float, priority: int, number: int
        ) -> None:
            started_at = time.time()
            if milliseconds:
                await asyncio.sleep(milliseconds / 1000)
            recorder.record(sent_at, priority, number, started_at)

        # The default poll interval of 0.5 s would dominate the measurement.
        worker = Worker(
            [func(_run_job, name="run")],
            redis_settings=SERVER,
            max_jobs=ARGS.concurrency,
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
    if ARGS.verb == "fill":
        started_at = time.time()
        for first in range(0, ARGS.count, MAX_CONCURRENT_CALLS):
            last = min(first + MAX_CONCURRENT_CALLS, ARGS.count)
            await asyncio.gather(
                *(
                    pool.enqueue_job("run", time.time(), ARGS.milliseconds, ARGS.priority, number)
                    for number in range(first, last)
                )
            )
        print_fill_time(time.time() - started_at)
    else:
        for number, due_at in enumerate(trickle_times(ARGS.count)):
            await asyncio.sleep(max(0.0, due_at - time.time()))
            await pool.enqueue_job("run", due_at, ARGS.milliseconds, ARGS.priority, number)


uvloop.run(main())
