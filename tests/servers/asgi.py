"""An application's real addresses for callers that do not know of event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from fastapi import FastAPI


def client_for(app: FastAPI) -> httpx.Client:
    """Return a client whose every request the application answers, in a loop of its own."""

    def answer(request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                asked = client.build_request(
                    request.method, request.url, headers=request.headers, content=request.read()
                )
                answered = await client.send(asked)
                return httpx.Response(
                    answered.status_code, headers=answered.headers, content=answered.content
                )

        return asyncio.run(ask())

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="https://edge")
