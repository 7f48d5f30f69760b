"""Connections to the provider: one client of a single connection per call under way, the last used first.

A pool of httpx looks at every open connection before and after each request, which costs more at 64 of them
than the request itself (80 instead of 350 messages per second on one core). A stack of lanes looks at none.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from services.kit.client import trust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from services.kit.settings import ProcessSettings

CONNECT_SECONDS = 3.0
IDLE_SECONDS = 5.0
"""An idle connection is closed sooner than servers do it: one closed under a request leaves it unknown."""


class Lanes:
    """Lends clients, each to one call at a time."""

    def __init__(self, clients: Iterable[httpx.AsyncClient]) -> None:
        self._idle: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        for client in clients:
            self._idle.put_nowait(client)

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the client that was used last, waiting if all are lent."""
        client = await self._idle.get()
        try:
            yield client
        finally:
            self._idle.put_nowait(client)


@asynccontextmanager
async def open_lanes(process: ProcessSettings, count: int, *, seconds: float) -> AsyncIterator[Lanes]:
    """Give so many lanes for as long as the block lasts; connections are made when needed.

    Args:
        process: names the CA that servers are verified with.
        count: calls that can be under way at once.
        seconds: for each wait of a request, to write or to read.
    """
    verify = trust(process)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    verify=verify,
                    timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
                    limits=httpx.Limits(max_connections=1, keepalive_expiry=IDLE_SECONDS),
                    trust_env=False,
                )
            )
            for _ in range(count)
        ]
        yield Lanes(clients)
