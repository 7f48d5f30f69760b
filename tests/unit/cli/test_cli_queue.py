"""`esq queue` against the very addresses that a service mounts, over the fake of the queue."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from cli.actions import doors
from cli.actions import queue as action
from cli.edge import Edge, RefusedError
from cli.main import run
from infra.errors import EsqError
from infra.progress import RecordingProgress
from services.kit.auth import Tokens
from services.kit.errors import BusyError
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.queue import admin
from services.kit.queue.job import Controls, Job, QueueName, QueueRules
from services.kit.queue.memory import MemoryQueue
from tests.controllers.asgi import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "k" * 32
NAME = "whatsapp.dispatch"


class Clock:
    """Time that passes by sleeping only; sleepers may be given something to do."""

    now = 1000.0

    def __init__(self) -> None:
        self.sleeps: list[Any] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.sleeps:
            self.sleeps.pop(0)()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> MemoryQueue:
    made = MemoryQueue(QueueName("whatsapp", "dispatch"), QueueRules(), clock)
    asyncio.run(made.enqueue([Job(uuid4(), "acme", priority=priority) for priority in (0, 2, 2)]))
    return made


@pytest.fixture
def http(queue: MemoryQueue) -> httpx.Client:
    app = create_app("test", Health(), routers=[admin.router], tokens=Tokens(KEY))
    app.state.queues = {NAME: queue}

    @app.get("/busy")
    async def busy() -> None:
        raise BusyError("the wait is 61 s", wait=61, retry_after=31)

    return client_of(app)


@pytest.fixture
def edge(http: httpx.Client, clock: Clock) -> Edge:
    return Edge(http, KEY, action.OPERATORS, deadline=clock.now + 60, clock=clock, sleep=clock.sleep)


@pytest.fixture
def platform(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Edge:
    """Let commands reach it."""

    @contextmanager
    def through_the_edge(*_given: object) -> Iterator[Edge]:
        yield edge

    monkeypatch.setattr(doors, "through_the_edge", through_the_edge)
    return edge


def finish(queue: MemoryQueue) -> None:
    async def settle() -> None:
        await queue.settle([lease.done() for lease in (await queue.reserve(100)).leases])

    asyncio.run(settle())


@pytest.mark.usefixtures("platform")
def test_list_and_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "list", "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)["queues"]
    assert (listed["queue"], listed["waiting"], listed["depth"]) == (NAME, [1, 0, 2, 0], 3)
    assert run(["queue", "show", NAME, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rules"]["attempts"], shown["letters"]) == (5, [])
    assert "acme" not in json.dumps(shown)


@pytest.mark.usefixtures("platform")
def test_list_and_show_for_people(capsys: pytest.CaptureFixture[str], queue: MemoryQueue) -> None:
    async def bury() -> None:
        [lease] = (await queue.reserve(1)).leases
        await queue.settle([lease.dead("no such number")])

    asyncio.run(bury())
    assert run(["queue", "list"]) == 0
    assert NAME in capsys.readouterr().out
    assert run(["queue", "show", NAME]) == 0
    told = capsys.readouterr().out
    assert "dead: " in told
    assert "after 1 attempts: no such number" in told


@pytest.mark.usefixtures("platform")
def test_pause_resume_and_limit(queue: MemoryQueue) -> None:
    for command, expected in (
        (["pause", NAME], Controls(paused=True)),
        (["limit", NAME, "25"], Controls(paused=True, limit=25)),
        (["resume", NAME, "--json"], Controls(limit=25)),
        (["limit", NAME, "0"], Controls()),
    ):
        assert run(["queue", *command]) == 0
        assert asyncio.run(queue.stats()).controls == expected


@pytest.mark.usefixtures("platform")
def test_an_unknown_queue_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "show", "nothing"]) == 1
    assert NAME in capsys.readouterr().err


@pytest.mark.usefixtures("platform")
def test_a_live_view_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", "top"]) == 2
    assert "list --json" in capsys.readouterr().err


@pytest.mark.usefixtures("platform")
def test_a_live_view_ends_with_ctrl_c(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("FORCE_COLOR", "1")
    clock.sleeps = [lambda: None, interrupted]
    assert run(["queue", "top"]) == 130
    assert NAME in capsys.readouterr().out


def test_drain_follows_until_it_is_empty(edge: Edge, queue: MemoryQueue, clock: Clock) -> None:
    clock.sleeps = [lambda: None, lambda: finish(queue)]
    with RecordingProgress().step("drain") as step:
        action.drain(edge, NAME, step)
    assert clock.now == 1002
    assert asyncio.run(queue.stats()).controls.draining


def test_drain_ends_at_the_deadline_and_says_how_to_go_on(edge: Edge) -> None:
    with RecordingProgress().step("drain") as step, pytest.raises(EsqError, match="3 jobs are still") as told:
        action.drain(edge, NAME, step)
    assert "resume" in told.value.remedy


def test_the_live_view_tells_how_fast_it_goes(edge: Edge, queue: MemoryQueue, clock: Clock) -> None:
    clock.sleeps = [lambda: finish(queue), queue.lose_everything]
    looks = action.looks(edge)
    [first], [second], [third] = next(looks), next(looks), next(looks)
    assert (first.done_per_second, second.done_per_second, third.done_per_second) == (None, 3, 0)
    assert (first.waiting, second.waiting) == ((1, 0, 2, 0), (0, 0, 0, 0))


def test_each_token_allows_one_thing(edge: Edge, http: httpx.Client) -> None:
    with pytest.raises(RefusedError, match="queues:write"):
        edge.call("PATCH", f"/queues/{NAME}", "queues:read", body={"paused": True})
    assert http.get("/queues").status_code == 401


def test_a_limit_must_make_sense(edge: Edge) -> None:
    with pytest.raises(RefusedError, match="422"):
        action.control(edge, NAME, limit=-1)


def test_a_refused_producer_is_told_when_to_return(http: httpx.Client) -> None:
    answer = http.get("/busy")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "31")
    assert answer.json()["detail"] == "the wait is 61 s"
