"""`esq queue` against the real routes of a service, with the in-memory queue behind them."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from cli.actions import platform_access
from cli.actions import queue as action
from cli.main import run
from cli.platform_client import PlatformClient, RequestRejectedError
from infra.errors import EsqError
from infra.progress import RecordingProgress
from services.kit.errors import OverloadedError
from services.kit.http.app import create_app
from services.kit.http.auth import JwtTokens
from services.kit.observability.health import Health
from services.kit.queue import admin
from services.kit.queue.fakes import FakeQueue
from services.kit.queue.job import Controls, Job, QueueConfig, QueueName
from tests.servers.asgi import client_for

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "k" * 32
NAME = "whatsapp.dispatch"


class Clock:
    """Time that advances only by sleeping; each sleep may run a callback."""

    now = 1000.0

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.callbacks:
            self.callbacks.pop(0)()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> FakeQueue:
    queue = FakeQueue(QueueName("whatsapp", "dispatch"), QueueConfig(), clock)
    asyncio.run(queue.enqueue([Job(uuid4(), "acme", priority=priority) for priority in (0, 2, 2)]))
    return queue


@pytest.fixture
def http(queue: FakeQueue) -> httpx.Client:
    app = create_app("test", Health(), routers=[admin.router], tokens=JwtTokens(KEY))
    app.state.queues = {NAME: queue}

    @app.get("/busy")
    async def busy() -> None:
        raise OverloadedError("the wait is 61 s", wait_seconds=61, retry_after=31)

    return client_for(app)


@pytest.fixture
def client(http: httpx.Client, clock: Clock) -> PlatformClient:
    return PlatformClient(
        http,
        KEY,
        action.OPERATOR_TENANT,
        deadline=clock.now + 60,
        environment="local",
        clock=clock,
        sleep=clock.sleep,
    )


@pytest.fixture
def platform(client: PlatformClient, monkeypatch: pytest.MonkeyPatch) -> PlatformClient:
    """Connect the commands to the client."""

    @contextmanager
    def fake_client(*_: object) -> Iterator[PlatformClient]:
        yield client

    monkeypatch.setattr(platform_access, "open_platform_client", fake_client)
    return client


def complete_all(queue: FakeQueue) -> None:
    async def complete() -> None:
        await queue.ack((await queue.reserve(100)).leases)

    asyncio.run(complete())


@pytest.mark.usefixtures("platform")
def test_list_and_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "list", "local", "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)["queues"]
    assert (listed["queue"], listed["ready"], listed["depth"]) == (NAME, [1, 0, 2, 0], 3)
    assert run(["queue", "show", "local", NAME, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["max_attempts"] == 5
    assert "acme" not in json.dumps(shown)


@pytest.mark.usefixtures("platform")
def test_list_and_show_as_tables(capsys: pytest.CaptureFixture[str], queue: FakeQueue) -> None:
    complete_all(queue)
    assert run(["queue", "list", "local"]) == 0
    assert NAME in capsys.readouterr().out
    assert run(["queue", "show", "local", NAME]) == 0
    output = capsys.readouterr().out
    assert "totals: added 3, done 3, expired 0" in output
    assert "max_attempts 5" in output


@pytest.mark.usefixtures("platform")
def test_pause_resume_and_rate_limit(queue: FakeQueue) -> None:
    for command, expected in (
        (["pause", "local", NAME], Controls(paused=True)),
        (["rate-limit", "local", NAME, "25"], Controls(paused=True, rate_limit=25)),
        (["resume", "local", NAME, "--json"], Controls(rate_limit=25)),
        (["rate-limit", "local", NAME, "0"], Controls()),
    ):
        assert run(["queue", *command]) == 0
        assert asyncio.run(queue.stats()).controls == expected


@pytest.mark.usefixtures("platform")
def test_unknown_queue_error_lists_existing_queues(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "show", "local", "nothing"]) == 1
    assert NAME in capsys.readouterr().err


@pytest.mark.usefixtures("platform")
def test_top_requires_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "top", "local"]) == 2
    assert "list local --json" in capsys.readouterr().err


@pytest.mark.usefixtures("platform")
def test_top_ends_with_ctrl_c(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("FORCE_COLOR", "1")
    clock.callbacks = [lambda: None, interrupt]
    assert run(["queue", "top", "local"]) == 130
    assert NAME in capsys.readouterr().out


def test_drain_waits_until_the_queue_is_empty(client: PlatformClient, queue: FakeQueue, clock: Clock) -> None:
    clock.callbacks = [lambda: None, lambda: complete_all(queue)]
    with RecordingProgress().step("drain") as step:
        action.drain_queue(client, NAME, "local", step)
    assert clock.now == 1002
    assert asyncio.run(queue.stats()).controls.draining


def test_drain_fails_at_the_deadline_with_a_remedy(client: PlatformClient) -> None:
    with (
        RecordingProgress().step("drain") as step,
        pytest.raises(EsqError, match="3 jobs remain") as caught,
    ):
        action.drain_queue(client, NAME, "local", step)
    assert "esq queue resume local" in caught.value.remedy


def test_poll_computes_completed_jobs_per_second(
    client: PlatformClient, queue: FakeQueue, clock: Clock
) -> None:
    clock.callbacks = [lambda: complete_all(queue), queue.clear]
    polls = action.poll(client)
    [first], [second], [third] = next(polls), next(polls), next(polls)
    assert (first.done_per_second, second.done_per_second, third.done_per_second) == (None, 3, 0)
    assert (first.ready, second.ready) == ((1, 0, 2, 0), (0, 0, 0, 0))


def test_write_scope_is_required_to_change_a_queue(client: PlatformClient, http: httpx.Client) -> None:
    with pytest.raises(RequestRejectedError, match="queues:write"):
        client.call("PATCH", f"/queues/{NAME}", "queues:read", body={"paused": True})
    assert http.get("/queues").status_code == 401


def test_negative_rate_limit_returns_422(client: PlatformClient) -> None:
    with pytest.raises(RequestRejectedError, match="422"):
        action.update_queue(client, NAME, rate_limit=-1)


def test_overload_returns_429_with_retry_after(http: httpx.Client) -> None:
    response = http.get("/busy")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "31")
    assert response.json()["detail"] == "the wait is 61 s"
