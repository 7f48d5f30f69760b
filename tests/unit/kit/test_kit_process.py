"""The HTTP face, tokens, background tasks, and a process from start to end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import httpx
import jwt
import pytest
from fastapi import APIRouter, Depends, Request

from services.kit import tasks
from services.kit.auth import Caller, Tokens, allowed
from services.kit.errors import ConflictError, TemporaryError, UnauthorisedError
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.process import Parts, serve
from services.kit.settings import ProcessSettings
from services.kit.tasks import Task, guard
from tests.controllers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

KEY = "k" * 32
router = APIRouter()


@router.get("/whoami")
async def whoami(caller: Annotated[Caller, Depends(allowed("things:read"))]) -> dict[str, str]:
    return {"company": caller.company}


@router.get("/conflict")
async def conflict() -> None:
    raise ConflictError("there is one already")


@router.get("/away")
async def away() -> None:
    raise TemporaryError("the database is away", retry_after=3)


@router.get("/defect")
async def defect() -> None:
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
    app = create_app("things", health, routers=[router], tokens=Tokens(KEY), body_bytes={"/echo": 100})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
        yield client


async def test_health_and_metrics(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 200
    health.trouble("relay", "relay is down")
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"relay": "relay is down"})
    assert (await client.get("/health/live")).status_code == 200
    assert "process_resident_memory_bytes" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/conflict", 409), ("/away", 503), ("/defect", 500), ("/nowhere", 404), ("/whoami", 401)],
)
async def test_errors_are_problem_documents(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert "secret detail" not in answer.text


async def test_what_passes_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    assert (await client.get("/away")).headers["retry-after"] == "3"


async def test_faults_of_a_body_are_named_without_its_content(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", json={"a": "not-a-number"})
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["where"] == "body.a"
    assert "not-a-number" not in answer.text.replace("where", "")


async def test_bodies_are_bounded(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo", content=b"x" * 101)).status_code == 413
    headers = {"content-length": "-1"}
    assert (await client.post("/echo", content=b"{}", headers=headers)).status_code == 413


async def test_the_token_decides_the_company(client: httpx.AsyncClient) -> None:
    token = Tokens(KEY).issue("tester", "acme", ["things:read"])
    answer = await client.get("/whoami", headers={"Authorization": f"bearer {token}"})
    assert answer.json() == {"company": "acme"}


@pytest.mark.parametrize(
    "claims",
    [
        {"company": "acme", "sub": "x", "exp": time.time() - 60},
        {"company": "acme", "sub": "x"},
        {"sub": "x", "exp": time.time() + 60},
        {"company": "../etc", "sub": "x", "exp": time.time() + 60},
        {"company": 7, "sub": "x", "exp": time.time() + 60},
    ],
)
def test_tokens_that_are_not_complete_are_refused(claims: dict[str, object]) -> None:
    with pytest.raises(UnauthorisedError):
        Tokens(KEY).read(jwt.encode(claims, KEY, algorithm="HS256"))


def test_forged_tokens_are_refused() -> None:
    claims = {"company": "acme", "sub": "x", "exp": time.time() + 60}
    for token in (
        jwt.encode(claims, "o" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
    ):
        with pytest.raises(UnauthorisedError):
            Tokens(KEY).read(token)


async def test_a_task_that_fails_is_started_again_and_told_by_readiness(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "pause_before", lambda _attempt: 0.05)
    stop, runs, reasons = asyncio.Event(), 0, []

    async def flaky(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        reasons.append(await health.reasons())
        if runs == 1:
            raise TemporaryError("no broker")
        if runs == 2:
            raise RuntimeError
        if runs == 3:
            return
        await stop.wait()

    guarded = asyncio.create_task(guard(Task("relay", flaky), stop, health))
    await asyncio.sleep(0.02)
    assert await health.reasons() == {"relay": "relay is down: no broker"}
    await asyncio.sleep(0.4)
    assert (runs, await health.reasons()) == (4, {})
    stop.set()
    await asyncio.wait_for(guarded, 1)


async def test_a_caller_that_leaves_is_no_defect(health: Health, caplog: pytest.LogCaptureFixture) -> None:
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


async def test_a_process_serves_drains_and_ends(health: Health) -> None:
    app = create_app("things", health, routers=[router])
    ended = []

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "done"

    async def orderly(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.append("orderly")

    async def stubborn(_stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("stubborn")

    settings = ProcessSettings(
        service="things", host="127.0.0.1", port=free_port(), grace_seconds=0.3, drain_seconds=2
    )
    stop = asyncio.Event()
    parts = Parts(app, health, [Task("orderly", orderly), Task("stubborn", stubborn)])
    process = asyncio.create_task(serve(settings, parts, stop))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}") as client:
        for _ in range(100):
            try:
                assert (await client.get("/health/ready")).status_code == 200
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
        under_way = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.sleep(0.1)
        assert (await client.get("/health/ready")).json()["reasons"] == {"process": "the process is stopping"}
        assert (await under_way).json() == "done"
    await asyncio.wait_for(process, 5)
    assert ended == ["orderly", "stubborn"]
