"""HTTP application: health, metrics, problem documents, body limits and authentication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, Request

from services.kit.errors import ConflictError, TemporaryError
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens, Principal, require_scope
from services.kit.observability.health import Health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

KEY = "k" * 32
router = APIRouter()


@router.get("/whoami")
async def whoami(principal: Annotated[Principal, Depends(require_scope("things:read"))]) -> dict[str, str]:
    return {"company": principal.company}


@router.get("/conflict")
async def conflict() -> None:
    raise ConflictError("there is one already")


@router.get("/unavailable")
async def unavailable() -> None:
    raise TemporaryError("the database is unavailable", retry_after=3)


@router.get("/unexpected")
async def unexpected() -> None:
    raise RuntimeError("secret detail")


@router.post("/echo")
async def echo(body: dict[str, int]) -> dict[str, int]:
    return body


@router.post("/stream")
async def stream(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("things", health, routers=[router], tokens=JwtTokens(KEY), max_body_bytes={"/echo": 100})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
        yield client


async def test_health_and_metrics(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 200
    health.set_problem("relay", "relay is down")
    response = await client.get("/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, {"relay": "relay is down"})
    assert (await client.get("/health/live")).status_code == 200
    assert "process_resident_memory_bytes" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/conflict", 409, "Conflict"),
        ("/unavailable", 503, "Service Unavailable"),
        ("/unexpected", 500, "Internal Server Error"),
        ("/nowhere", 404, "Not Found"),
        ("/whoami", 401, "Unauthorized"),
    ],
)
async def test_errors_are_problem_documents(
    client: httpx.AsyncClient, path: str, status: int, title: str
) -> None:
    response = await client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert (response.json()["status"], response.json()["title"]) == (status, title)
    assert "secret detail" not in response.text


async def test_temporary_error_returns_retry_after(client: httpx.AsyncClient) -> None:
    assert (await client.get("/unavailable")).headers["retry-after"] == "3"


async def test_invalid_body_returns_422_with_fields_but_without_values(client: httpx.AsyncClient) -> None:
    response = await client.post("/echo", json={"a": "not-a-number"})
    assert response.status_code == 422
    assert response.json()["title"] == "Unprocessable Content"
    assert response.json()["errors"][0]["field"] == "body.a"
    assert "not-a-number" not in response.text


async def test_oversized_body_returns_413(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo", content=b"x" * 101)).status_code == 413
    headers = {"content-length": "-1"}
    assert (await client.post("/echo", content=b"{}", headers=headers)).status_code == 413


async def test_company_comes_from_token(client: httpx.AsyncClient) -> None:
    token = JwtTokens(KEY).issue("tester", "acme", ["things:read"])
    response = await client.get("/whoami", headers={"Authorization": f"bearer {token}"})
    assert response.json() == {"company": "acme"}


async def test_client_disconnect_is_not_logged_as_error(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app("things", health, routers=[router])
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/stream", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert sent[0] == 499
    assert not caplog.records
