"""Members of a consumer group, on a real broker."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from services.contracts.topics import MESSAGE_STATUS
from services.kit.kafka.client import Record, open_publisher
from services.kit.kafka.kafka_consumer import KafkaConsumer, open_kafka_consumer
from services.kit.settings import KafkaSettings
from tests.controllers.consuming import PROCESS, event, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kit.kafka.failed_records import ConsumedRecord
    from tests.controllers.kafka import Kafka

pytestmark = pytest.mark.integration
RECORDS = 60
LONG_SECONDS = 600.0
"""Longer than a test may take."""


@asynccontextmanager
async def member(settings: KafkaSettings) -> AsyncIterator[tuple[KafkaConsumer, list[ConsumedRecord]]]:
    """Join the group; what is taken is in the list."""
    taken: list[ConsumedRecord] = []
    leaving = asyncio.Event()

    async def take(source: KafkaConsumer) -> None:
        while not leaving.is_set():
            taken.extend(await source.poll(RECORDS))

    async with open_kafka_consumer(PROCESS, settings, [MESSAGE_STATUS]) as source:
        taking = asyncio.create_task(take(source))
        try:
            yield source, taken
        finally:
            leaving.set()
            await taking


async def test_partitions_that_left_while_they_were_held_are_read_when_they_are_back(
    clean_kafka: Kafka,
) -> None:
    settings = KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)
    async with open_publisher(PROCESS, settings) as publisher:
        events = [event(f"key-{number}", number) for number in range(RECORDS)]
        await publisher.publish([Record(MESSAGE_STATUS.name, one.key, one.encode()) for one in events])
    async with member(settings) as (source, taken):
        await until(lambda: len(taken) == RECORDS)
        await source.pause(taken, LONG_SECONDS)
        taken.clear()
        async with member(settings) as (_, lent):
            await until(lambda: bool(lent))
        await until(lambda: {each.origin for each in lent} <= {each.origin for each in taken})
