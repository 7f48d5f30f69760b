"""Outbox, relay, Kafka, consumer and inbox on real servers, with crashes at the worst moments."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from services.contracts.topics import MESSAGE_STATUS, TOPICS, Topic
from services.kit.errors import TemporaryError
from services.kit.fakes import FakePublisher
from services.kit.jobs.topics import apply_topics
from services.kit.kafka import client as kafka_client
from services.kit.kafka.client import KafkaPublisher, Record, client_config
from services.kit.kafka.envelope import InboundEvent, OutboundEvent, decode
from services.kit.postgres.inbox import RETENTION_SECONDS, SQL, PostgresInbox
from services.kit.postgres.outbox import SQL as OUTBOX_SQL
from services.kit.postgres.outbox import OutboxRelay, PostgresOutbox
from services.kit.settings import KafkaSettings
from tests.servers.consumer_harness import PROCESS, RecordingHandler, numbered_event, run_consumer, wait_until
from tests.servers.event_batches import flatten
from tests.servers.process import free_port
from tests.servers.process import wait_until as wait_until_blocking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.postgres.database import Database
    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration


async def store(database: Database, events: Sequence[OutboundEvent]) -> None:
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction).add(events)
        await transaction.commit()


async def drain(relay: OutboxRelay) -> None:
    idle = 0
    while idle < 20:
        idle = 0 if await relay.publish_batch() else idle + 1
        await asyncio.sleep(0.002)


def decode_numbers(records: Sequence[Record]) -> list[tuple[str, int]]:
    updates = flatten(decode(record.payload).event for record in records)
    return [(accepted.message_id, int(accepted.provider_id)) for accepted in updates]


async def count_pending(database: Database) -> int:
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(OUTBOX_SQL["outbox_pending"])
    assert row is not None
    return int(row.events)


class SlowPublisher(FakePublisher):
    """Publishes with a delay, so that two relays overlap."""

    async def publish(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(0.01)
        await super().publish(records)


class CrashingPublisher(FakePublisher):
    """Publishes, and crashes before the relay commits."""

    async def publish(self, records: Sequence[Record]) -> None:
        await super().publish(records)
        raise KeyboardInterrupt


async def test_events_of_rolled_back_transaction_are_not_published(database: Database) -> None:
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction).add([numbered_event("a", 1)])
    publisher = FakePublisher()
    await drain(OutboxRelay(database, publisher))
    assert publisher.records == []


async def test_two_relays_publish_each_event_once_in_order_of_its_key(database: Database) -> None:
    keys = [f"key-{number}" for number in range(40)]
    for number in range(25):
        await store(database, [numbered_event(key, number) for key in keys])
    publisher = SlowPublisher()
    relays = [OutboxRelay(database, publisher, batch_size=50) for _ in range(2)]
    await asyncio.gather(*(drain(relay) for relay in relays))
    published = decode_numbers(publisher.records)
    assert len(published) == len(set(published)) == 1000
    for key in keys:
        assert [number for name, number in published if name == key] == list(range(25))
    assert await count_pending(database) == 0


async def test_event_committed_late_is_published(database: Database) -> None:
    async with database.transaction() as late:
        await PostgresOutbox(late).add([numbered_event("late", 1)])
        publisher = FakePublisher()
        for number in range(5):
            await store(database, [numbered_event(f"early-{key}", number) for key in range(20)])
            await drain(OutboxRelay(database, publisher))
        assert len(publisher.records) == 100
        await late.commit()
    await drain(OutboxRelay(database, publisher))
    assert decode_numbers(publisher.records[100:]) == [("late", 1)]


async def test_overlapping_transactions_lose_and_reorder_nothing(database: Database) -> None:
    """Writers commit at random times, so that ids become visible in another order than allocated."""
    publisher, random = FakePublisher(), Random(1)
    relays = [OutboxRelay(database, publisher, batch_size=16) for _ in range(2)]
    writing = True

    async def write(key: str) -> None:
        for number in range(0, 100, 5):
            async with database.transaction() as transaction:
                await PostgresOutbox(transaction).add(
                    [numbered_event(key, number + offset) for offset in range(5)]
                )
                await asyncio.sleep(random.uniform(0, 0.02))
                await transaction.commit()

    async def publish(relay: OutboxRelay) -> None:
        while writing:
            await relay.publish_batch()
        await drain(relay)

    publishing = [asyncio.create_task(publish(relay)) for relay in relays]
    keys = [f"key-{number}" for number in range(6)]
    await asyncio.gather(*(write(key) for key in keys))
    writing = False
    await asyncio.gather(*publishing)
    published = decode_numbers(publisher.records)
    assert len(published) == 600
    for key in keys:
        assert [number for name, number in published if name == key] == list(range(100))


async def test_published_ids_are_not_scanned_again(database: Database) -> None:
    relay = OutboxRelay(database, FakePublisher())
    for number in range(4):
        await store(database, [numbered_event(f"key-{key}", number) for key in range(50)])
        await drain(relay)
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(text("SELECT min(min_id) FROM outbox_shard"))
    assert row is not None
    assert row[0] >= 50


async def test_several_batches_are_published_in_order_during_writes(database: Database) -> None:
    await store(database, [numbered_event("a", number) for number in range(100)])
    publisher = FakePublisher()
    relay = OutboxRelay(database, publisher, batch_size=8)
    for number in range(100, 110):
        assert await relay.publish_batch()
        await store(database, [numbered_event("a", number)])
    await drain(relay)
    assert decode_numbers(publisher.records) == [("a", number) for number in range(110)]


async def count_by_segment(database: Database) -> dict[int, int]:
    async with database.transaction() as transaction:
        rows = await transaction.fetch_all(text("SELECT segment, count(*) FROM outbox GROUP BY 1"))
    return {row.segment: row[1] for row in rows}


async def fill_all_segments(database: Database) -> None:
    """Put one event into each segment, as if a minute had passed."""
    await store(database, [numbered_event("a", number) for number in range(3)])
    async with database.transaction() as transaction:
        await transaction.execute(text("UPDATE outbox SET segment = id % 3"))
        await transaction.commit()


async def test_segment_is_truncated_only_when_published(database: Database) -> None:
    publisher = FakePublisher()
    relay = OutboxRelay(database, publisher)
    await fill_all_segments(database)
    assert not await relay.truncate_segment()
    assert await count_by_segment(database) == {0: 1, 1: 1, 2: 1}
    await drain(relay)
    assert await relay.truncate_segment()
    assert sorted((await count_by_segment(database)).values()) == [1, 1]
    await store(database, [numbered_event("a", 3)])
    await drain(relay)
    assert decode_numbers(publisher.records) == [("a", number) for number in range(4)]


async def test_segment_with_an_open_writer_is_not_truncated(database: Database) -> None:
    relay = OutboxRelay(database, FakePublisher())
    await fill_all_segments(database)
    await drain(relay)
    async with database.transaction() as writer:
        await writer.execute(text("UPDATE outbox SET created_at = now()"))
        assert not await relay.truncate_segment()
    assert await count_by_segment(database) == {0: 1, 1: 1, 2: 1}
    assert await relay.truncate_segment()


async def test_events_stay_pending_while_brokers_are_unavailable(database: Database) -> None:
    await store(database, [numbered_event("a", 1)])
    publisher = FakePublisher()
    publisher.unavailable = True
    relay = OutboxRelay(database, publisher)
    with pytest.raises(TemporaryError):
        await relay.publish_batch()
    assert await count_pending(database) == 1
    publisher.unavailable = False
    assert await relay.publish_batch() == 1


async def test_relay_crash_after_publishing_causes_duplicates_without_effect(database: Database) -> None:
    await store(database, [numbered_event("a", number) for number in range(10)])
    crashing, healthy = CrashingPublisher(), FakePublisher()
    with pytest.raises(KeyboardInterrupt):
        await OutboxRelay(database, crashing).publish_batch()
    assert await count_pending(database) == 10
    await drain(OutboxRelay(database, healthy))
    delivered = [decode(record.payload) for record in crashing.records + healthy.records]
    assert len(delivered) == 20
    new = []
    for batch in (delivered[:10], delivered[10:]):
        async with database.transaction() as transaction:
            new += await PostgresInbox(transaction).filter_new(batch)
            await transaction.commit()
    assert new == delivered[:10]


async def test_event_is_new_once_for_two_concurrent_consumers(database: Database) -> None:
    events = [decode(numbered_event("a", number).encode()) for number in range(50)]

    async def consume(batch: list[InboundEvent]) -> list[InboundEvent]:
        async with database.transaction() as transaction:
            new = await PostgresInbox(transaction).filter_new(batch)
            await asyncio.sleep(0.05)
            await transaction.commit()
        return new

    first, second = await asyncio.gather(consume([*events, *events]), consume(events[::-1]))
    assert sorted(map(len, (first, second))) == [0, 50]


async def test_inbox_purges_events_older_than_the_retention(database: Database) -> None:
    async with database.transaction() as transaction:
        await PostgresInbox(transaction).filter_new([decode(numbered_event("a", 1).encode())])
        await transaction.execute(text("UPDATE inbox SET seen_at = now() - interval '9 days'"))
        await PostgresInbox(transaction).filter_new([decode(numbered_event("a", 2).encode())])
        assert await transaction.execute(SQL["inbox_purge"], retention_seconds=RETENTION_SECONDS) == 1


# The following tests use real brokers.


async def test_events_are_handled_once_in_order_end_to_end(clean_kafka: Kafka, database: Database) -> None:
    publisher = KafkaPublisher(client_config(PROCESS, KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)))
    events = [numbered_event(f"key-{number % 10}", number) for number in range(200)]
    await store(database, events)
    await drain(OutboxRelay(database, publisher, batch_size=30))
    duplicates = [Record(MESSAGE_STATUS.name, outbound.key, outbound.encode()) for outbound in events[:50]]
    await publisher.publish(duplicates)
    effects = RecordingHandler(database)
    effects.errors = [TemporaryError("database unavailable"), TemporaryError("database unavailable")]
    async with run_consumer(clean_kafka, effects):
        await wait_until(lambda: len(effects.handled) == 200)
    for key in {outbound.key for outbound in events}:
        assert [number for name, number in effects.handled if name == key] == [
            number for number in range(200) if f"key-{number % 10}" == key
        ]
    async with run_consumer(clean_kafka, effects):
        await publisher.publish([Record(MESSAGE_STATUS.name, "last", numbered_event("last", 1).encode())])
        await wait_until(lambda: ("last", 1) in effects.handled)
    assert len(effects.handled) == 201
    publisher.close()


async def test_producer_without_brokers_raises_temporary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "DELIVERY_TIMEOUT_SECONDS", 1.0)
    settings = KafkaSettings(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    publisher = KafkaPublisher(client_config(PROCESS, settings))
    with pytest.raises(TemporaryError, match="1 of 1 records"):
        await publisher.publish([Record("message.status", "k", b"x")])
    publisher.close()


def test_topics_are_created_and_grow_but_never_shrink(kafka: Kafka) -> None:
    admin = kafka.admin()
    apply_topics(admin, TOPICS, 1)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=2)], 1)
    wait_for_partitions(kafka, "growing", 2)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=4, retention_ms=60_000)], 1)
    wait_for_partitions(kafka, "growing", 4)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=1, retention_ms=60_000)], 1)
    wait_for_partitions(kafka, "growing", 4)
    assert len(admin.list_topics(timeout=5).topics["message.status"].partitions) == MESSAGE_STATUS.partitions


def wait_for_partitions(kafka: Kafka, topic: str, partitions: int) -> None:
    def exist() -> bool:
        metadata = kafka.admin().list_topics(timeout=5).topics.get(topic)
        return metadata is not None and len(metadata.partitions) == partitions

    wait_until_blocking(f"{topic} has {partitions} partitions", exist, 10)
