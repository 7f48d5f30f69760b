"""HTTP clients for calling other services: the CA of the environment, pooled connections, no proxy.

aiohttp, whose parser is compiled: nearly half of a dispatcher's time went into httpx, and the number of calls
decides how many messages a core sends.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.settings import ProcessSettings

CONNECT_SECONDS = 3.0
IDLE_SECONDS = 15.0
"""An idle connection is closed sooner than servers do it: one closed under a request leaves it unknown. Yet
not between two bursts of a dispatcher: each new one is a handshake."""
NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Failures before anything of a request can have reached the other side."""


@asynccontextmanager
async def open_client(
    process: ProcessSettings, *, seconds: float, connections: int = 20
) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client for as long as the block lasts.

    Args:
        process: names the CA that servers are verified with; without one the public ones hold.
        seconds: for a request from its beginning to the end of its answer.
        connections: most that are open at once; what is beyond waits.
    """
    verify = ssl.create_default_context(cafile=str(process.ca_file) if process.ca_file else None)
    connector = aiohttp.TCPConnector(ssl=verify, limit=connections, keepalive_timeout=IDLE_SECONDS)
    limits = aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds))
    async with aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=False) as client:
        yield client
