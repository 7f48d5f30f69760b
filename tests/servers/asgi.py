"""A synchronous client of an ASGI application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from fastapi import FastAPI


def client_for(app: FastAPI) -> httpx.Client:
    """Return a client that passes every request to the application, in an event loop of its own."""

    def respond(request: httpx.Request) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                forwarded = client.build_request(
                    request.method, request.url, headers=request.headers, content=request.read()
                )
                response = await client.send(forwarded)
                return httpx.Response(
                    response.status_code, headers=response.headers, content=response.content
                )

        return asyncio.run(send())

    return httpx.Client(transport=httpx.MockTransport(respond), base_url="https://edge")
