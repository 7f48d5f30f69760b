"""Members of a consumer group on a real broker."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from services.contracts.topics import MESSAGE_STATUS
from services.kit.kafka.client import Record, open_publisher
from services.kit.kafka.kafka_consumer import KafkaConsumer, open_kafka_consumer
from services.kit.settings import KafkaSettings
from tests.servers.consumer_harness import PROCESS, numbered_event, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.kafka.failed_records import ConsumedRecord
    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration
RECORDS = 60
PAUSE_SECONDS = 600.0
"""Longer than a test may take."""


@asynccontextmanager
async def join_group(settings: KafkaSettings) -> AsyncIterator[tuple[KafkaConsumer, list[ConsumedRecord]]]:
    """Join the group; polled records are appended to the list."""
    polled: list[ConsumedRecord] = []
    leaving = asyncio.Event()

    async def poll(kafka_consumer: KafkaConsumer) -> None:
        while not leaving.is_set():
            polled.extend(await kafka_consumer.poll(RECORDS))

    async with open_kafka_consumer(PROCESS, settings, [MESSAGE_STATUS]) as kafka_consumer:
        polling = asyncio.create_task(poll(kafka_consumer))
        try:
            yield kafka_consumer, polled
        finally:
            leaving.set()
            await polling


async def test_partitions_revoked_while_paused_are_read_after_reassignment(clean_kafka: Kafka) -> None:
    settings = KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)
    async with open_publisher(PROCESS, settings) as publisher:
        events = [numbered_event(f"key-{number}", number) for number in range(RECORDS)]
        await publisher.publish(
            [Record(MESSAGE_STATUS.name, outbound.key, outbound.encode()) for outbound in events]
        )
    async with join_group(settings) as (kafka_consumer, polled):
        await wait_until(lambda: len(polled) == RECORDS)
        await kafka_consumer.pause(polled, PAUSE_SECONDS)
        polled.clear()
        async with join_group(settings) as (_, polled_by_other):
            await wait_until(lambda: bool(polled_by_other))
        await wait_until(
            lambda: {record.origin for record in polled_by_other} <= {record.origin for record in polled}
        )
