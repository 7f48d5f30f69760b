"""The way of an event: outbox, relay, Kafka, consumer, inbox; with deaths at the worst moments."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from services.contracts.topics import MESSAGE_STATUS, TOPICS, Topic
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import TemporaryError
from services.kit.fakes import FakePublisher
from services.kit.jobs.topics import apply_topics
from services.kit.kafka.client import KafkaPublisher, Record, client_config
from services.kit.kafka.client import client as kit_kafka
from services.kit.kafka.envelope import InboundEvent, OutboundEvent, decode
from services.kit.postgres.database import Database
from services.kit.postgres.inbox import RETENTION_SECONDS, SQL, PostgresInbox
from services.kit.postgres.outbox import SQL as OUTBOX_SQL
from services.kit.postgres.outbox import OutboxRelay, PostgresOutbox
from services.kit.settings import KafkaSettings
from tests.controllers.consuming import PROCESS, Effects, consuming, event, until
from tests.controllers.process import await_true, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.controllers.kafka import Kafka

pytestmark = pytest.mark.integration


async def store(database: Database, events: Sequence[OutboundEvent]) -> None:
    async with database.transaction() as work:
        await PostgresOutbox(work).add(events)
        await work.commit()


async def drain(relay: OutboxRelay) -> None:
    idle = 0
    while idle < 20:
        idle = 0 if await relay.publish_batch() else idle + 1
        await asyncio.sleep(0.002)


def told(records: Sequence[Record]) -> list[tuple[str, int]]:
    events = [decode(record.payload).event for record in records]
    return [(one.message_id, int(one.provider_id)) for one in events if isinstance(one, v1.MessageAccepted)]


async def left(database: Database) -> int:
    async with database.transaction() as work:
        row = await work.fetch_one(OUTBOX_SQL["outbox_waiting"])
    assert row is not None
    return int(row.waiting)


class SlowPublisher(FakePublisher):
    """Takes its time, so that two relays really overlap."""

    async def publish(self, records: Sequence[Record]) -> None:
        await asyncio.sleep(0.01)
        await super().publish(records)


class DyingPublisher(FakePublisher):
    """Publishes, and then the process dies before it can tell the database."""

    async def publish(self, records: Sequence[Record]) -> None:
        await super().publish(records)
        raise KeyboardInterrupt


async def test_events_of_a_rolled_back_transaction_are_never_published(database: Database) -> None:
    async with database.transaction() as work:
        await PostgresOutbox(work).add([event("a", 1)])
    publisher = FakePublisher()
    await drain(OutboxRelay(database, publisher))
    assert publisher.records == []


async def test_two_relays_publish_each_event_once_and_keep_the_order_of_keys(database: Database) -> None:
    keys = [f"key-{number}" for number in range(40)]
    for number in range(25):
        await store(database, [event(key, number) for key in keys])
    publisher = SlowPublisher()
    relays = [OutboxRelay(database, publisher, batch_size=50) for _ in range(2)]
    await asyncio.gather(*(drain(relay) for relay in relays))
    published = told(publisher.records)
    assert len(published) == len(set(published)) == 1000
    for key in keys:
        assert [number for name, number in published if name == key] == list(range(25))
    assert await left(database) == 0


async def test_an_event_that_is_committed_late_is_published_all_the_same(database: Database) -> None:
    async with database.transaction() as late:
        await PostgresOutbox(late).add([event("late", 1)])
        publisher = FakePublisher()
        for number in range(5):
            await store(database, [event(f"early-{lane}", number) for lane in range(20)])
            await drain(OutboxRelay(database, publisher))
        assert len(publisher.records) == 100
        await late.commit()
    await drain(OutboxRelay(database, publisher))
    assert told(publisher.records[100:]) == [("late", 1)]


async def test_nothing_is_lost_or_disordered_while_transactions_overlap(database: Database) -> None:
    """Each writer commits when it likes, so that ids become visible in another order than they were given."""
    publisher, draws = FakePublisher(), Random(1)
    relays = [OutboxRelay(database, publisher, batch_size=16) for _ in range(2)]
    writing = True

    async def write(key: str) -> None:
        for number in range(0, 100, 5):
            async with database.transaction() as work:
                await PostgresOutbox(work).add([event(key, number + more) for more in range(5)])
                await asyncio.sleep(draws.uniform(0, 0.02))
                await work.commit()

    async def relay(one: OutboxRelay) -> None:
        while writing:
            await one.publish_batch()
        await drain(one)

    relaying = [asyncio.create_task(relay(one)) for one in relays]
    keys = [f"key-{number}" for number in range(6)]
    await asyncio.gather(*(write(key) for key in keys))
    writing = False
    await asyncio.gather(*relaying)
    published = told(publisher.records)
    assert len(published) == 600
    for key in keys:
        assert [number for name, number in published if name == key] == list(range(100))


async def test_what_is_published_is_not_looked_through_again(database: Database) -> None:
    relay = OutboxRelay(database, FakePublisher())
    for number in range(4):
        await store(database, [event(f"key-{lane}", number) for lane in range(50)])
        await drain(relay)
    async with database.transaction() as work:
        row = await work.fetch_one(text("SELECT min(floor) FROM outbox_lane"))
    assert row is not None
    assert row[0] >= 50


async def test_more_than_a_batch_is_published_in_order_while_others_write(database: Database) -> None:
    await store(database, [event("a", number) for number in range(100)])
    publisher = FakePublisher()
    relay = OutboxRelay(database, publisher, batch_size=8)
    for number in range(100, 110):
        assert await relay.publish_batch()
        await store(database, [event("a", number)])
    await drain(relay)
    assert told(publisher.records) == [("a", number) for number in range(110)]


async def segments(database: Database) -> dict[int, int]:
    async with database.transaction() as work:
        rows = await work.fetch_all(text("SELECT segment, count(*) FROM outbox GROUP BY 1"))
    return {row.segment: row[1] for row in rows}


async def test_a_segment_is_emptied_only_when_it_is_published(database: Database) -> None:
    """All three are filled as if a minute had passed: the next in turn is one of them."""
    publisher = FakePublisher()
    relay = OutboxRelay(database, publisher)
    await store(database, [event("a", number) for number in range(3)])
    async with database.transaction() as work:
        await work.execute(text("UPDATE outbox SET segment = id % 3"))
        await work.commit()
    assert not await relay.truncate_segment()
    assert await segments(database) == {0: 1, 1: 1, 2: 1}
    await drain(relay)
    assert await relay.truncate_segment()
    assert sorted((await segments(database)).values()) == [1, 1]
    await store(database, [event("a", 3)])
    await drain(relay)
    assert told(publisher.records) == [("a", number) for number in range(4)]


async def test_a_segment_with_a_writer_in_it_is_left_alone(database: Database) -> None:
    relay = OutboxRelay(database, FakePublisher())
    await store(database, [event("a", number) for number in range(3)])
    async with database.transaction() as work:
        await work.execute(text("UPDATE outbox SET segment = id % 3"))
        await work.commit()
    await drain(relay)
    async with database.transaction() as writer:
        await writer.execute(text("UPDATE outbox SET created_at = now()"))
        assert not await relay.truncate_segment()
    assert await segments(database) == {0: 1, 1: 1, 2: 1}
    assert await relay.truncate_segment()


async def test_while_brokers_are_away_nothing_leaves_the_outbox(database: Database) -> None:
    await store(database, [event("a", 1)])
    publisher = FakePublisher()
    publisher.unavailable = True
    relay = OutboxRelay(database, publisher)
    with pytest.raises(TemporaryError):
        await relay.publish_batch()
    assert await left(database) == 1
    publisher.unavailable = False
    assert await relay.publish_batch() == 1


async def test_a_relay_that_dies_after_publishing_causes_a_duplicate_without_effect(
    database: Database,
) -> None:
    await store(database, [event("a", number) for number in range(10)])
    dying, healthy = DyingPublisher(), FakePublisher()
    with pytest.raises(KeyboardInterrupt):
        await OutboxRelay(database, dying).publish_batch()
    assert await left(database) == 10
    await drain(OutboxRelay(database, healthy))
    twice = [decode(record.payload) for record in dying.records + healthy.records]
    assert len(twice) == 20
    seen = []
    for delivery in (twice[:10], twice[10:]):
        async with database.transaction() as work:
            seen += await PostgresInbox(work).filter_new(delivery)
            await work.commit()
    assert seen == twice[:10]


async def test_an_event_is_fresh_once_even_for_two_consumers_at_once(database: Database) -> None:
    events = [decode(event("a", number).encode()) for number in range(50)]

    async def consume(order: list[InboundEvent]) -> list[InboundEvent]:
        async with database.transaction() as work:
            fresh = await PostgresInbox(work).filter_new(order)
            await asyncio.sleep(0.05)
            await work.commit()
        return fresh

    one, other = await asyncio.gather(consume([*events, *events]), consume(events[::-1]))
    assert sorted(map(len, (one, other))) == [0, 50]


async def test_the_inbox_forgets_what_no_broker_keeps(database: Database) -> None:
    async with database.transaction() as work:
        await PostgresInbox(work).filter_new([decode(event("a", 1).encode())])
        await work.execute(text("UPDATE inbox SET seen_at = now() - interval '9 days'"))
        await PostgresInbox(work).filter_new([decode(event("a", 2).encode())])
        assert await work.execute(SQL["inbox_purge"], seconds=RETENTION_SECONDS) == 1


# From here on with real brokers.


async def test_events_go_the_whole_way_once_and_in_order(clean_kafka: Kafka, database: Database) -> None:
    publisher = KafkaPublisher(client_config(PROCESS, KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)))
    events = [event(f"key-{number % 10}", number) for number in range(200)]
    await store(database, events)
    await drain(OutboxRelay(database, publisher, batch_size=30))
    await publisher.publish([Record(MESSAGE_STATUS.name, one.key, one.encode()) for one in events[:50]])
    effects = Effects(database)
    effects.failing = [TemporaryError("database away"), TemporaryError("database away")]
    async with consuming(clean_kafka, effects):
        await until(lambda: len(effects.done) == 200)
    for key in {one.key for one in events}:
        assert [n for name, n in effects.done if name == key] == [
            n for n in range(200) if f"key-{n % 10}" == key
        ]
    async with consuming(clean_kafka, effects):
        await publisher.publish([Record(MESSAGE_STATUS.name, "last", event("last", 1).encode())])
        await until(lambda: ("last", 1) in effects.done)
    assert len(effects.done) == 201
    publisher.close()


async def test_a_producer_without_brokers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit_kafka, "DELIVERY_SECONDS", 1.0)
    settings = KafkaSettings(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    publisher = KafkaPublisher(client_config(PROCESS, settings))
    with pytest.raises(TemporaryError, match="1 of 1 records"):
        await publisher.publish([Record("message.status", "k", b"x")])
    publisher.close()


def test_topics_are_applied_and_grow_but_never_shrink(kafka: Kafka) -> None:
    admin = kafka.admin()
    apply_topics(admin, TOPICS, 1)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=2)], 1)
    await_partitions(kafka, "growing", 2)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=4, retention_ms=60_000)], 1)
    await_partitions(kafka, "growing", 4)
    apply_topics(admin, [Topic("growing", key="k", owner="o", partitions=1, retention_ms=60_000)], 1)
    await_partitions(kafka, "growing", 4)
    assert len(admin.list_topics(timeout=5).topics["message.status"].partitions) == MESSAGE_STATUS.partitions


def await_partitions(kafka: Kafka, topic: str, partitions: int) -> None:
    def there() -> bool:
        known = kafka.admin().list_topics(timeout=5).topics.get(topic)
        return known is not None and len(known.partitions) == partitions

    await_true(f"{topic} has {partitions} partitions", there, 10)
