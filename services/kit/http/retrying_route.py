"""Routes that wait for a dependency which is unavailable for a moment, instead of failing the request.

A planned switchover of the database takes a few seconds, and so do the restarts of a rolling update. Only for
idempotent requests: a transaction whose commit was interrupted is repeated. A body that is too large to hold
in memory is not repeated; its sender can.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from fastapi.routing import APIRoute

from services.kit.errors import PartlyStoredError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from fastapi import Request, Response

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]

MAX_RETRY_SECONDS = 10.0
"""No attempt starts later than this after the first one: a switchover takes about five seconds."""
RETRY_INTERVAL_SECONDS = 0.3
"""Delay between two attempts, multiplied by a random factor between 0.5 and 1.5."""
MAX_WAITING_REQUESTS = 200
"""Further requests fail at once: during a long outage, waiting ones must not fill the memory."""
MAX_BODY_BYTES = 1 << 20
"""Size of the largest body that is held in memory for a retry."""


class RetryingRoute(APIRoute):
    """A route whose requests are retried after a `TemporaryError`, unless a part is stored."""

    _waiting = 0

    def get_route_handler(self) -> Handler:
        """Return the handler of a request, with retries."""
        handle = super().get_route_handler()

        async def handle_with_retries(request: Request) -> Response:
            if not await _hold_body(request):
                return await handle(request)
            return await self._retry(handle, request)

        return handle_with_retries

    async def _retry(self, handle: Handler, request: Request) -> Response:
        clock = asyncio.get_running_loop().time
        deadline = clock() + MAX_RETRY_SECONDS
        while True:
            try:
                return await handle(request)
            except PartlyStoredError:
                raise
            except TemporaryError:
                if clock() > deadline or self._waiting >= MAX_WAITING_REQUESTS:
                    raise
            await self._wait()

    @classmethod
    async def _wait(cls) -> None:
        cls._waiting += 1
        try:
            await asyncio.sleep(RETRY_INTERVAL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
        finally:
            cls._waiting -= 1


async def _hold_body(request: Request) -> bool:
    """Read a small body into memory, where every attempt finds it; return whether there is no other body."""
    if "transfer-encoding" in request.headers:
        return False
    if int(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        return False
    await request.body()
    return True
