"""Fixtures: both implementations of the queue port, on a clock that the test advances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from services.kit.queue.fakes import FakeQueue
from services.kit.queue.job import QueueConfig, QueueName
from services.kit.queue.ports import Queue
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.kit.settings import ProcessSettings
from tests.clock import FakeClock
from tests.servers.redis import Redis

CONFIG = QueueConfig(
    lease_seconds=30,
    max_attempts=3,
    aging_seconds=60,
    deadline_margin_seconds=5,
    dedup_ttl_seconds=0,
    max_depth=2000,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    server = Redis(service="test")
    try:
        server.start()
        yield server
    finally:
        server.stop()


QueueFactory = Callable[..., Queue]


@pytest.fixture(params=["memory", "redis"])
async def create_queue(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[QueueFactory]:
    """Return a factory of an empty queue; its argument is the configuration."""
    name = QueueName("test", f"q{uuid4().hex[:8]}")
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield lambda config=CONFIG: FakeQueue(name, config, clock)
            return
        settings = request.getfixturevalue("redis").settings(redis_timeout_seconds=10)
        redis_client = await stack.enter_async_context(open_redis(ProcessSettings(service="test"), settings))
        yield lambda config=CONFIG: RedisQueue(redis_client, name, config, clock=clock)


@pytest.fixture
def queue(create_queue: QueueFactory) -> Queue:
    return create_queue()
