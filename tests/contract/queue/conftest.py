"""The queue's port by both of its implementations, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from services.kit.queue.engine import RedisQueue
from services.kit.queue.job import QueueName, QueueRules
from services.kit.queue.memory import MemoryQueue
from services.kit.queue.port import Queue
from services.kit.redis import open_redis
from services.kit.settings import ProcessSettings, RedisSettings
from tests.clock import Clock
from tests.controllers.redis import Redis

RULES = QueueRules(
    lease_seconds=30, attempts=3, patience_seconds=60, risk_seconds=5, remember_seconds=0, most_waiting=2000
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.stop()


Make = Callable[..., Queue]


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Make]:
    """Return what makes an empty queue with given rules."""
    name = QueueName("test", f"q{uuid4().hex[:8]}")
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield lambda rules=RULES: MemoryQueue(name, rules, clock)
            return
        settings = RedisSettings(redis_server=request.getfixturevalue("redis").address, redis_seconds=10)
        connection = await stack.enter_async_context(open_redis(ProcessSettings(service="test"), settings))
        yield lambda rules=RULES: RedisQueue(connection, name, rules, clock=clock)


@pytest.fixture
def queue(make: Make) -> Queue:
    return make()
