"""HTTP clients for calling other services: the CA of the environment, pooled connections, no proxy."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.settings import ProcessSettings


def trust(process: ProcessSettings) -> ssl.SSLContext:
    """Return what servers are verified with: the environment's CA, or the public ones where none is set."""
    return ssl.create_default_context(cafile=str(process.ca_file) if process.ca_file else None)


@asynccontextmanager
async def open_client(
    process: ProcessSettings, *, seconds: float, connect_seconds: float = 3.0, connections: int = 20
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client for as long as the block lasts.

    Args:
        process: names the CA that servers are verified with.
        seconds: for each wait of a request (for a connection of the pool, to write, to read).
        connect_seconds: for a new connection and its TLS.
        connections: most that are open at once; all of them are kept.
    """
    async with httpx.AsyncClient(
        verify=trust(process),
        timeout=httpx.Timeout(seconds, connect=connect_seconds),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
    ) as client:
        yield client
