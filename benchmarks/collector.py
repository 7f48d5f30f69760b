"""What the garbage collector takes of a process that calls and answers, by how often it looks.

One process posts to itself with 70 requests under way. Rounds of both settings alternate.
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

from services.kit.process import YOUNG_OBJECTS

REQUESTS = 6_000
UNDER_WAY = 70
ROUNDS = 3
USUAL_OBJECTS = 700
LATENCY_SECONDS = 0.1
ORDER = {"to": "5511999999999", "text": {"body": "Ana, your order is on its way."}}


class Stopwatch:
    """Adds up the time of collections."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __call__(self, phase: str, _info: dict[str, Any]) -> None:
        """Take the time, as `gc.callbacks` asks for."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


async def answer(request: web.Request) -> web.Response:
    """Answer as the provider does, after a while."""
    order = await request.json()
    await asyncio.sleep(LATENCY_SECONDS)
    return web.json_response({"messages": [{"id": "wamid." + "x" * 40}], "contacts": [order]})


async def measure(objects: int, url: str) -> dict[str, float]:
    """Make the requests with a collection every `objects`; return microseconds of processor for each."""
    gc.set_threshold(objects)
    stopwatch, places = Stopwatch(), asyncio.Semaphore(UNDER_WAY)
    gc.callbacks.append(stopwatch)

    async def one(client: aiohttp.ClientSession) -> None:
        async with places, client.post(url, json=ORDER) as response:
            await response.json()

    began = time.process_time()
    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(one(client) for _ in range(REQUESTS)))
    spent = time.process_time() - began
    gc.callbacks.remove(stopwatch)
    return {
        "objects": objects,
        "us_per_request": round(spent / REQUESTS * 1e6),
        "collecting_percent": round(100 * stopwatch.seconds / spent, 1),
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
    rounds = [await measure(each, url) for _ in range(ROUNDS) for each in (USUAL_OBJECTS, YOUNG_OBJECTS)]
    await runner.cleanup()
    json.dump(rounds, sys.stdout, indent=2)


if __name__ == "__main__":
    uvloop.run(main())
