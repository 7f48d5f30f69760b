"""Metrics exporter and names of queues, without a server."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import InvalidError
from services.kit.queue.fakes import FakeQueue
from services.kit.queue.job import QueueConfig, QueueName
from services.kit.queue.metrics import QueueMetricsExporter
from tests.clock import FakeClock
from tests.metrics import metric


async def test_exporter_continues_without_redis_and_reports_it_down() -> None:
    queue = FakeQueue(QueueName("test", "parts"), QueueConfig(), FakeClock())
    stop, exporter = asyncio.Event(), QueueMetricsExporter(queue, interval_seconds=0.001)
    running = asyncio.create_task(exporter.run(stop))

    async def wait_for_up(up: int) -> None:
        async with asyncio.timeout(10):
            while metric("esq_queue_up", **{"queue": "test", "class": "parts"}) != up:
                await asyncio.sleep(0)

    await wait_for_up(1)
    queue.unavailable = True
    await wait_for_up(0)
    queue.unavailable = False
    await wait_for_up(1)
    stop.set()
    await running


@pytest.mark.parametrize("name", ["", "Whats", "a.b", "a" * 32, "{x}"])
def test_invalid_queue_names_are_rejected(name: str) -> None:
    with pytest.raises(InvalidError, match="not a queue name"):
        QueueName("whatsapp", name)
