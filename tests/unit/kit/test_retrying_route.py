"""Requests wait while a dependency is unavailable for a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter, Request

from services.kit.errors import ConflictError, ServiceError, TemporaryError
from services.kit.http import retrying_route
from services.kit.http.app import create_app
from services.kit.http.retrying_route import RetryingRoute
from services.kit.observability.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Dependency:
    """Fails as often as it is told to."""

    def __init__(self) -> None:
        self.errors: list[ServiceError] = []
        self.calls = 0

    def call(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def dependency(monkeypatch: pytest.MonkeyPatch) -> Dependency:
    monkeypatch.setattr(retrying_route, "RETRY_INTERVAL_SECONDS", 0)
    return Dependency()


@pytest.fixture
async def client(dependency: Dependency) -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter(route_class=RetryingRoute)

    @router.post("/json")
    async def json_body(body: dict[str, int]) -> dict[str, int]:
        dependency.call()
        return body

    @router.post("/stream")
    async def stream(request: Request) -> int:
        size = sum([len(chunk) async for chunk in request.stream()])
        dependency.call()
        return size

    app = create_app("test", Health(), routers=[router], max_body_bytes={"/stream": 1 << 30})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


UNAVAILABLE = TemporaryError("the database is not available", retry_after=3)


async def test_a_request_is_repeated_with_its_body(client: httpx.AsyncClient, dependency: Dependency) -> None:
    dependency.errors = [UNAVAILABLE, UNAVAILABLE]
    response = await client.post("/json", json={"a": 1})
    assert (response.status_code, response.json()) == (200, {"a": 1})
    assert dependency.calls == 3


async def test_a_small_streamed_body_is_repeated(client: httpx.AsyncClient, dependency: Dependency) -> None:
    dependency.errors = [UNAVAILABLE]
    response = await client.post("/stream", content=b"x" * 1000)
    assert (response.status_code, response.json()) == (200, 1000)


async def test_a_large_body_is_not_held_in_memory(client: httpx.AsyncClient, dependency: Dependency) -> None:
    dependency.errors = [UNAVAILABLE]
    large = b"x" * (retrying_route.MAX_BODY_BYTES + 1)
    assert (await client.post("/stream", content=large)).status_code == 503
    assert (await client.post("/stream", content=large)).json() == len(large)


async def test_a_body_of_unknown_size_is_not_held_in_memory(
    client: httpx.AsyncClient, dependency: Dependency
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    dependency.errors = [UNAVAILABLE]
    assert (await client.post("/stream", content=chunks())).status_code == 503


async def test_other_errors_are_not_retried(client: httpx.AsyncClient, dependency: Dependency) -> None:
    dependency.errors = [ConflictError("there is one already")]
    assert (await client.post("/json", json={})).status_code == 409
    assert dependency.calls == 1


async def test_the_last_error_is_returned_after_the_deadline(
    client: httpx.AsyncClient, dependency: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying_route, "MAX_RETRY_SECONDS", -1)
    dependency.errors = [UNAVAILABLE]
    response = await client.post("/json", json={})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")


async def test_too_many_waiting_requests_fail_at_once(
    client: httpx.AsyncClient, dependency: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying_route, "MAX_WAITING_REQUESTS", 0)
    dependency.errors = [UNAVAILABLE]
    assert (await client.post("/json", json={})).status_code == 503
    assert dependency.calls == 1
