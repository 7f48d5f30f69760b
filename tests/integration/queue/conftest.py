"""A Redis that each test may kill, and the queue in it."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from services.kit.queue.engine import RedisQueue
from services.kit.redis import open_redis
from services.kit.settings import ProcessSettings, RedisSettings
from tests.controllers.process import Server
from tests.controllers.redis import Redis
from tests.integration.queue.working import NAME, RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from services.kit.redis import Connection

PROCESS = ProcessSettings(service="test")


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def connect(redis: Redis) -> AsyncIterator[Connection]:
    async with open_redis(PROCESS, RedisSettings(redis_server=redis.address)) as connection:
        yield connection


@pytest.fixture
async def connection(redis: Redis) -> AsyncIterator[Connection]:
    async with connect(redis) as connection:
        yield connection


@pytest.fixture
def queue(connection: Connection) -> RedisQueue:
    return RedisQueue(connection, NAME, RULES)


class Workers:
    """Worker processes and what they have run."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self._redis = redis
        self._folder = folder
        self._file = folder / "ran"
        self._file.touch()
        self.running: list[Server] = []

    def start(self) -> Server:
        worker = Server("worker", self._folder / f"worker-{len(self.running)}.log")
        worker.launch(
            [sys.executable, "-m", "tests.integration.queue.working", str(self._redis.port), str(self._file)]
        )
        self.running.append(worker)
        return worker

    def ran(self) -> Counter[str]:
        return Counter(self._file.read_text().splitlines())

    def stop(self) -> None:
        for worker in self.running:
            worker.kill()


@pytest.fixture
def workers(redis: Redis, tmp_path: Path) -> Iterator[Workers]:
    running = Workers(redis, tmp_path)
    yield running
    running.stop()
