"""Fixtures: a Redis server that each test may kill, and a queue in it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from services.kit.queue.job import QueueConfig, QueueName
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.kit.settings import ProcessSettings
from tests.servers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.kit.redis.client import RedisClient

PROCESS = ProcessSettings(service="test")
NAME = QueueName("test", "work")
CONFIG = QueueConfig(lease_seconds=1, max_attempts=20)


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis(service=NAME.domain)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def connect(redis: Redis) -> AsyncIterator[RedisClient]:
    async with open_redis(PROCESS, redis.settings()) as redis_client:
        yield redis_client


@pytest.fixture
async def redis_client(redis: Redis) -> AsyncIterator[RedisClient]:
    async with connect(redis) as client:
        yield client


@pytest.fixture
def queue(redis_client: RedisClient) -> RedisQueue:
    return RedisQueue(redis_client, NAME, CONFIG)
