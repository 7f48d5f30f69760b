"""Background tasks, and a process from start to shutdown."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.kit import background_tasks
from services.kit.background_tasks import BackgroundTask, supervise
from services.kit.errors import TemporaryError
from services.kit.http.app import create_app
from services.kit.observability.health import Health
from services.kit.runtime import ServiceComponents, serve_until_stopped
from services.kit.settings import ProcessSettings
from tests.servers.process import free_port


@pytest.fixture
def health() -> Health:
    return Health()


async def test_failed_task_is_restarted_and_reported_by_readiness(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_tasks, "backoff_seconds", lambda _attempt: 0.05)
    stop, runs, problems = asyncio.Event(), 0, []

    async def flaky(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        problems.append(await health.readiness_problems())
        if runs == 1:
            raise TemporaryError("no broker")
        if runs == 2:
            raise RuntimeError
        if runs == 3:
            return
        await stop.wait()

    supervisor = asyncio.create_task(supervise(BackgroundTask("relay", flaky), stop, health))
    await asyncio.sleep(0.02)
    assert await health.readiness_problems() == {"relay": "relay is down: no broker"}
    await asyncio.sleep(0.4)
    assert (runs, await health.readiness_problems()) == (4, {})
    stop.set()
    await asyncio.wait_for(supervisor, 1)


async def test_process_serves_drains_and_stops(health: Health) -> None:
    app = create_app("things", health)
    ended = []

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "done"

    async def cooperative(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.append("cooperative")

    async def stubborn(_stop: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("stubborn")

    settings = ProcessSettings(
        service="things", host="127.0.0.1", port=free_port(), grace_seconds=0.3, drain_seconds=2
    )
    stop = asyncio.Event()
    tasks = [BackgroundTask("cooperative", cooperative), BackgroundTask("stubborn", stubborn)]
    components = ServiceComponents(app, health, tasks)
    process = asyncio.create_task(serve_until_stopped(settings, components, stop))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}") as client:
        for _ in range(100):
            try:
                assert (await client.get("/health/ready")).status_code == 200
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
        in_flight = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.sleep(0.1)
        readiness = await client.get("/health/ready")
        assert (readiness.status_code, readiness.json()["detail"]) == (404, "the process is stopping")
        assert (await in_flight).json() == "done"
    await asyncio.wait_for(process, 5)
    assert ended == ["cooperative", "stubborn"]
