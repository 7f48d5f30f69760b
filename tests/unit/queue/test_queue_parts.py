"""Parts of the queue that need no server: settings, the worker's decisions, the watch."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.kit.errors import InvalidError, TemporaryError
from services.kit.queue.job import Job, QueueName, QueueRules
from services.kit.queue.memory import MemoryQueue
from services.kit.queue.metrics import Watch
from services.kit.queue.worker import Worker
from services.kit.settings import RedisSettings, SettingsError, load
from tests.clock import Clock
from tests.metrics import metric

if TYPE_CHECKING:
    from services.kit.queue.job import Lease

RULES = QueueRules(lease_seconds=10, attempts=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> MemoryQueue:
    return MemoryQueue(QueueName("test", "parts"), RULES, clock)


class Reporting:
    """Cannot write reports as long as its store is away."""

    def __init__(self) -> None:
        self.away = True
        self.reported = 0

    async def run(self, lease: Lease) -> None:
        """See `Handler`."""
        raise AssertionError(f"{lease.id} is not to be run")

    async def lost(self, lease: Lease) -> None:
        """See `Handler`."""
        if self.away:
            raise TemporaryError(f"no database for {lease.id}")
        self.reported += 1


async def work_a_little(queue: MemoryQueue, handler: Reporting) -> None:
    """Let a worker take what there is."""
    worker, stop = Worker(queue, handler, concurrency=2, rng=Random(1)), asyncio.Event()
    tasks = asyncio.gather(worker.run(stop), worker.settle(stop))
    for _ in range(20):
        await asyncio.sleep(0)
    stop.set()
    await tasks


async def test_a_report_that_cannot_be_written_is_asked_for_again(queue: MemoryQueue, clock: Clock) -> None:
    handler = Reporting()
    await queue.enqueue([Job(uuid4(), "acme")])
    await queue.reserve(1)
    clock.pass_by(11)
    await work_a_little(queue, handler)
    assert (await queue.dead(1), handler.reported) == ([], 0)
    handler.away = False
    clock.pass_by(11)
    await work_a_little(queue, handler)
    assert handler.reported == 1
    assert [letter.reason for letter in await queue.dead(1)] == ["its workers died"]


async def test_the_watch_goes_on_without_redis_and_says_so(queue: MemoryQueue) -> None:
    stop, watch = asyncio.Event(), Watch(queue, every_seconds=0.001)
    running = asyncio.create_task(watch.run(stop))

    async def shown(up: int) -> None:
        async with asyncio.timeout(10):
            while metric("esq_queue_up", **{"queue": "test", "class": "parts"}) != up:
                await asyncio.sleep(0)

    await shown(1)
    queue.away = True
    await shown(0)
    queue.away = False
    await shown(1)
    stop.set()
    await running


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "must be set"),
        ({"ESQ_REDIS_SENTINELS": "a:1", "ESQ_REDIS_SERVER": "b:2"}, "not both"),
        ({"ESQ_REDIS_SENTINELS": "a:1,b"}, "not host:port: 'b'"),
        ({"ESQ_REDIS_SERVER": ":6379"}, "not host:port"),
    ],
)
def test_redis_is_somewhere(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        load(RedisSettings)


@pytest.mark.parametrize("name", ["", "Whats", "a.b", "a" * 32, "{x}"])
def test_queues_have_plain_names(name: str) -> None:
    with pytest.raises(InvalidError, match="not the name of a queue"):
        QueueName("whatsapp", name)
