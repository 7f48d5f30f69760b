"""Event consumer without brokers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import TemporaryError
from services.kit.fakes import FakePublisher
from services.kit.kafka.consumer import EventConsumer
from services.kit.kafka.envelope import OutboundEvent
from services.kit.kafka.failed_records import ConsumedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.kafka.client import Record
    from services.kit.kafka.envelope import InboundEvent

NOW = 1_000_000.0


def consumed_record(payload: bytes, offset: int, **headers: str) -> ConsumedRecord:
    encoded = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return ConsumedRecord(MESSAGE_STATUS.name, 3, offset, b"key", payload, encoded, NOW)


class FakeKafkaConsumer:
    """Returns the given batches, and records pauses and commits."""

    service = "campaigns"

    def __init__(self, *batches: list[ConsumedRecord]) -> None:
        self.batches = list(batches)
        self.paused: list[tuple[list[int], float]] = []
        self.committed: list[int] = []
        self.stop = lambda: None

    async def poll(self, _max_records: int) -> list[ConsumedRecord]:
        if len(self.batches) == 1:
            self.stop()
        return self.batches.pop(0)

    async def pause(self, records: list[ConsumedRecord], seconds: float) -> None:
        self.paused.append(([record.offset for record in records], seconds))

    async def commit(self, records: list[ConsumedRecord]) -> None:
        self.committed += [record.offset for record in records]


async def consume(kafka_consumer: FakeKafkaConsumer, publisher: FakePublisher, handler: object) -> None:
    stop = asyncio.Event()
    kafka_consumer.stop = stop.set
    consumer = EventConsumer(kafka_consumer, publisher, handler, clock=lambda: NOW)  # type: ignore[arg-type] # fakes
    await consumer.run(stop)


def valid_payload() -> bytes:
    return OutboundEvent(MESSAGE_STATUS, "k", "acme", v1.MessageStatusesUpdated(), uuid4()).encode()


async def test_early_record_pauses_its_partition_from_there_on() -> None:
    early = {"esq_not_before": str(round((NOW + 12) * 1000))}
    kafka_consumer = FakeKafkaConsumer(
        [
            consumed_record(valid_payload(), 1),
            consumed_record(valid_payload(), 2, **early),
            consumed_record(valid_payload(), 3),
        ]
    )
    handled: list[int] = []

    async def handler(events: list[InboundEvent]) -> None:
        handled.append(len(events))

    await consume(kafka_consumer, FakePublisher(), handler)
    assert kafka_consumer.paused == [([2, 3], 12)]
    assert kafka_consumer.committed == [1]
    assert handled == [1]


async def test_offsets_are_not_committed_before_failed_records_are_published() -> None:
    publisher = FakePublisher()
    publisher.unavailable = True
    kafka_consumer = FakeKafkaConsumer([consumed_record(b"\xff", 1)], [consumed_record(b"\xff", 1)])

    async def handler(_events: list[InboundEvent]) -> None:
        publisher.unavailable = False

    poll = kafka_consumer.poll

    async def poll_and_recover(max_records: int) -> list[ConsumedRecord]:
        if kafka_consumer.paused:
            publisher.unavailable = False
        return await poll(max_records)

    kafka_consumer.poll = poll_and_recover  # type: ignore[method-assign] # the brokers recover meanwhile
    await consume(kafka_consumer, publisher, handler)
    assert [offsets for offsets, _ in kafka_consumer.paused] == [[1]]
    assert kafka_consumer.committed == [1]
    assert [record.topic for record in publisher.records] == ["message.status.dlq.campaigns"]


async def test_unavailable_dependency_does_not_count_as_attempt() -> None:
    batches = [[consumed_record(valid_payload(), 1)] for _ in range(20)]
    kafka_consumer, publisher = FakeKafkaConsumer(*batches), FakePublisher()

    async def handler(_events: list[InboundEvent]) -> None:
        raise TemporaryError("unavailable")

    await consume(kafka_consumer, publisher, handler)
    assert publisher.records == []
    assert kafka_consumer.committed == []
    assert len(kafka_consumer.paused) == 20
    assert max(seconds for _, seconds in kafka_consumer.paused) <= 10


async def test_unexpected_error_rewinds_the_whole_batch() -> None:
    class BrokenPublisher(FakePublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            raise RuntimeError(f"unexpected, with {len(records)} records")

    kafka_consumer = FakeKafkaConsumer([consumed_record(b"\xff", 1), consumed_record(valid_payload(), 2)])

    async def handler(_events: list[InboundEvent]) -> None:
        return

    with pytest.raises(RuntimeError, match="unexpected"):
        await consume(kafka_consumer, BrokenPublisher(), handler)
    assert kafka_consumer.paused == [([1, 2], 0)]
    assert kafka_consumer.committed == []
