"""CPU share of the garbage collector in a process that makes and answers HTTP requests, by threshold.

One process posts to itself with 70 concurrent requests. Rounds of both thresholds alternate.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from services.kit.runtime import GC_THRESHOLD

REQUESTS = 6_000
CONCURRENCY = 70
ROUNDS = 3
DEFAULT_THRESHOLD = 700
LATENCY_SECONDS = 0.1
REQUEST = {"to": "5511999999999", "text": {"body": "Ana, your order is on its way."}}


class GcTimer:
    """Sums the duration of collections."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started_at = 0.0

    def __call__(self, phase: str, _info: dict[str, Any]) -> None:
        """Handle the start or end of a collection, as `gc.callbacks` requires."""
        if phase == "start":
            self._started_at = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._started_at


async def answer(request: web.Request) -> web.Response:
    """Answer as the provider does, after a delay."""
    body = await request.json()
    await asyncio.sleep(LATENCY_SECONDS)
    return web.json_response({"messages": [{"id": "wamid." + "x" * 40}], "contacts": [body]})


async def measure(threshold: int, url: str) -> dict[str, float]:
    """Make all requests with one threshold.

    Args:
        threshold: allocations until a collection of the youngest generation.
        url: URL of the server.

    Returns:
        CPU microseconds per request and percentage spent in collections.
    """
    gc.set_threshold(threshold)
    timer, semaphore = GcTimer(), asyncio.Semaphore(CONCURRENCY)
    gc.callbacks.append(timer)

    async def post(client: aiohttp.ClientSession) -> None:
        async with semaphore, client.post(url, json=REQUEST) as response:
            await response.json()

    started_at = time.process_time()
    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(post(client) for _ in range(REQUESTS)))
    cpu_seconds = time.process_time() - started_at
    gc.callbacks.remove(timer)
    return {
        "threshold": threshold,
        "us_per_request": round(cpu_seconds / REQUESTS * 1e6),
        "gc_percent": round(100 * timer.seconds / cpu_seconds, 1),
    }


async def main() -> None:
    """Serve, call and print."""
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    gc.freeze()
    thresholds = (DEFAULT_THRESHOLD, GC_THRESHOLD)
    rounds = [await measure(threshold, url) for _ in range(ROUNDS) for threshold in thresholds]
    await runner.cleanup()
    json.dump(rounds, sys.stdout, indent=2)


if __name__ == "__main__":
    uvloop.run(main())
