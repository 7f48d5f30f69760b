"""Outgoing HTTP client: verifies with the environment's CA, pools connections, ignores proxies.

It uses aiohttp, whose parser is compiled: nearly half of a dispatcher's CPU time went into httpx, and the
number of calls decides how many messages a core sends.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.settings import ProcessSettings

CONNECT_TIMEOUT_SECONDS = 3.0
KEEPALIVE_TIMEOUT_SECONDS = 15.0
"""Idle connections are closed earlier than servers do it: if the server closes one during a request, the
outcome is unknown. It is longer than the pause between two bursts of a dispatcher: each new connection
costs a handshake."""
CONNECT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Errors raised before any byte of the request was sent."""


@asynccontextmanager
async def open_http_client(
    process: ProcessSettings, *, timeout_seconds: float, max_connections: int = 20
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client for the duration of the block.

    Args:
        process: names the CA file; without one the public CAs apply.
        timeout_seconds: total time of a request, including its response.
        max_connections: upper bound of open connections; further requests wait.

    Yields:
        The client session.
    """
    verify = ssl.create_default_context(cafile=str(process.ca_file) if process.ca_file else None)
    connector = aiohttp.TCPConnector(
        ssl=verify, limit=max_connections, keepalive_timeout=KEEPALIVE_TIMEOUT_SECONDS
    )
    timeout = aiohttp.ClientTimeout(
        total=timeout_seconds, sock_connect=min(CONNECT_TIMEOUT_SECONDS, timeout_seconds)
    )
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as client:
        yield client
