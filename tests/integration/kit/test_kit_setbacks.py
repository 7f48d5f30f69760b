"""What becomes of events that cannot be handled: put off, waited for, dead, replayed, dropped."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from services.contracts.topics import DAY_MS, MESSAGE_STATUS, dead_letter_topic_name, retry_topic_name
from services.contracts.v1 import events_pb2 as v1
from services.kit.jobs import dlq
from services.kit.kafka.client import KafkaPublisher, client_config, consumer_lag, kafka_consumer
from services.kit.kafka.dead_letters import REPLAYED, KafkaDeadLetterStore, resolve_dead_letters
from services.kit.kafka.envelope import SCHEMA_VERSION
from services.kit.kafka.failed_records import RetryPolicy
from services.kit.observability import trace_context
from services.kit.settings import KafkaSettings
from tests.controllers.consuming import PROCESS, Effects, consuming, event, until
from tests.controllers.process import await_true
from tests.metrics import metric

if TYPE_CHECKING:
    from services.kit.kafka.dead_letters import DeadLetter
    from services.kit.postgres.database import Database
    from tests.controllers.kafka import Kafka
    from tests.controllers.postgres import Postgres

pytestmark = pytest.mark.integration
QUICK = RetryPolicy(backoff_seconds=0.5, max_attempts=3, max_attempts_unknown_schema=2)
TOPIC = MESSAGE_STATUS.name


def produce(kafka: Kafka, *payloads: bytes, key: bytes = b"key") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for payload in payloads:
        producer.produce(TOPIC, payload, key)
    assert producer.flush(10) == 0


def letters(kafka: Kafka) -> list[DeadLetter]:
    return KafkaDeadLetterStore({"bootstrap.servers": kafka.bootstrap}).list_unresolved()


def count(name: str, **labels: str) -> float:
    return metric(name, **labels) or 0.0


async def test_bytes_that_are_no_event_are_dead_at_once_and_the_rest_goes_on(
    clean_kafka: Kafka, database: Database
) -> None:
    before = count("esq_dead_total", topic=TOPIC, reason="malformed")
    good = [event("good", number).encode() for number in range(4)]
    produce(clean_kafka, good[0], b"\xff\xff not an event", *good[1:])
    effects = Effects(database)
    async with consuming(clean_kafka, effects):
        await until(lambda: len(effects.done) == 4)
        await until(lambda: len(letters(clean_kafka)) == 1)
    (letter,) = letters(clean_kafka)
    told = letter.summary()
    assert told["reason"] == "malformed"
    assert told["attempts"] == 1
    assert letter.record.payload == b"\xff\xff not an event"
    assert letter.id.startswith(f"campaigns/{TOPIC}/")
    assert [number for _, number in effects.done] == [0, 1, 2, 3]
    assert count("esq_dead_total", topic=TOPIC, reason="malformed") == before + 1


async def test_what_fails_comes_again_later_and_holds_up_nobody(
    clean_kafka: Kafka, database: Database
) -> None:
    effects = Effects(database)
    effects.poison = {"bad"}
    produce(clean_kafka, event("bad", 1).encode(), event("good", 2).encode())
    async with consuming(clean_kafka, effects, RetryPolicy(backoff_seconds=1.0, max_attempts=50)):
        await until(lambda: len(effects.tried) >= 3)
        assert effects.done == [("good", 2)]
        assert effects.tried[2] - effects.tried[0] >= 0.9
        effects.poison = set()
        await until(lambda: effects.done == [("good", 2), ("bad", 1)])
    assert letters(clean_kafka) == []


async def test_when_the_budget_is_used_up_a_dead_letter_tells_all_about_it(
    clean_kafka: Kafka, database: Database
) -> None:
    effects = Effects(database)
    effects.poison = {"bad"}
    with trace_context.trace_scope("") as begun:
        produce(clean_kafka, event("bad", 1).encode())
    async with consuming(clean_kafka, effects, QUICK):
        await until(lambda: len(letters(clean_kafka)) == 1)
    (letter,) = letters(clean_kafka)
    told = letter.summary()
    assert len(effects.tried) == 2 * 3
    assert effects.done == []
    assert (told["reason"], told["attempts"]) == ("failed", 3)
    assert told["detail"] == "LookupError in the handler"
    assert (told["event"], told["company"]) == ("message_accepted", "acme")
    assert told["failed_at"] <= told["dead_at"]
    shown = letter.redacted()
    assert shown["key"] == "key"
    assert shown["envelope"]["traceparent"].split("-")[1] == begun.trace_id


@pytest.mark.parametrize("newer", ["version", "event"])
async def test_a_newer_schema_waits_without_being_handled(
    clean_kafka: Kafka, database: Database, newer: str
) -> None:
    envelope = v1.Envelope.FromString(event("new", 1).encode())
    if newer == "version":
        envelope.version = SCHEMA_VERSION + 1
    else:
        envelope.ClearField("message_accepted")
    # An event with number 99, of no fields, that only a later release knows.
    produce(clean_kafka, envelope.SerializeToString() + (b"\x9a\x06\x00" if newer == "event" else b""))
    effects = Effects(database)
    async with consuming(clean_kafka, effects, QUICK):
        await until(lambda: len(letters(clean_kafka)) == 1)
    told = letters(clean_kafka)[0].summary()
    assert (told["reason"], told["attempts"]) == ("newer schema", 2)
    assert effects.done == []


async def test_a_stalled_dependency_is_waited_for_inside_the_group(
    clean_kafka: Kafka, database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a member may be silent: who does not poll is thrown out of the group."""
    silent_ms = 10_000
    monkeypatch.setattr(kafka_consumer, "SESSION_MS", silent_ms)
    monkeypatch.setattr(
        kafka_consumer,
        "client_config",
        lambda *args: client_config(*args) | {"max.poll.interval.ms": silent_ms},
    )
    monkeypatch.setattr(consumer_lag, "MEASURE_SECONDS", 0.2)
    effects = Effects(database)
    async with consuming(clean_kafka, effects, QUICK):
        produce(clean_kafka, event("a", 0).encode())
        await until(lambda: len(effects.done) == 1)
        member = await asyncio.to_thread(members, clean_kafka)
        await asyncio.to_thread(postgres.kill)
        try:
            produce(clean_kafka, *(event("a", number).encode() for number in range(1, 20)))
            stalled = time.monotonic()
            await until(lambda: time.monotonic() - stalled > silent_ms / 1000 + 3)
            labels = {"topic": TOPIC, "group": "esq-campaigns"}
            assert count("esq_consumer_lag", **labels) == 19
            assert count("esq_consumer_oldest_seconds", **labels) > silent_ms / 1000
        finally:
            await asyncio.to_thread(postgres.start)
        await until(lambda: len(effects.done) == 20)
        assert await asyncio.to_thread(members, clean_kafka) == member
        await until(lambda: count("esq_consumer_lag", **labels) == 0)
    assert [number for _, number in effects.done] == list(range(20))
    assert letters(clean_kafka) == []


def members(kafka: Kafka) -> set[str]:
    admin = kafka.admin()
    described = admin.describe_consumer_groups(["esq-campaigns"])["esq-campaigns"].result(10)
    return {member.member_id for member in described.members}


async def test_replayed_letters_have_their_effect_once_and_dropped_ones_none(
    clean_kafka: Kafka, database: Database
) -> None:
    publisher = KafkaPublisher(client_config(PROCESS, KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)))
    effects = Effects(database)
    effects.poison = {"mended", "hopeless"}
    for name in ("mended", "hopeless"):
        produce(clean_kafka, event(name, 1).encode(), key=name.encode())
    async with consuming(clean_kafka, effects, QUICK):
        await until(lambda: len(letters(clean_kafka)) == 2)
        found = {letter.redacted()["key"]: letter for letter in letters(clean_kafka)}
        job = dlq.DlqSettings(kafka_bootstrap=clean_kafka.bootstrap)
        listed = await dlq.run(job, "list", [])
        assert (listed["total"], listed["counts"][0]["letters"]) == (2, 2)
        dropped = await dlq.run(job, "drop", [found["hopeless"].id])
        assert dropped == {"good": True, "total": 1, "ids": [found["hopeless"].id]}
        assert [letter.id for letter in letters(clean_kafka)] == [found["mended"].id]
        shown = await dlq.run(job, "show", [found["mended"].id])
        assert shown["letters"][0]["reason"] == "failed"
        effects.poison = {"hopeless"}
        assert (await dlq.run(job, "replay", ["campaigns"]))["ids"] == [found["mended"].id]
        assert not (await dlq.run(job, "replay", ["campaigns"]))["good"]
        await resolve_dead_letters([found["mended"]], REPLAYED, publisher, datetime.now(UTC))
        await until(lambda: effects.done == [("mended", 1)])
        produce(clean_kafka, event("last", 1).encode(), key=b"mended")
        await until(lambda: ("last", 1) in effects.done)
    assert effects.done == [("mended", 1), ("last", 1)]
    assert letters(clean_kafka) == []
    publisher.close()


async def test_a_handler_works_in_the_trace_of_its_event(clean_kafka: Kafka, database: Database) -> None:
    with trace_context.trace_scope("") as begun:
        produce(clean_kafka, event("a", 1).encode())
    effects = Effects(database)
    async with consuming(clean_kafka, effects):
        await until(lambda: len(effects.done) == 1)
    assert effects.traces == [begun.trace_id]


def test_each_consumer_has_its_topics_as_they_are_declared(kafka: Kafka) -> None:
    known = kafka.admin().list_topics(timeout=5).topics
    assert len(known[retry_topic_name(TOPIC, "campaigns")].partitions) == 3
    dead = dead_letter_topic_name(TOPIC, "campaigns")
    assert len(known[dead].partitions) == 1

    def configured() -> bool:
        from confluent_kafka.admin import ConfigResource, ResourceType  # noqa: PLC0415 - its stubs forget them

        admin, resource = kafka.admin(), ConfigResource(ResourceType.TOPIC, dead)
        found = next(iter(admin.describe_configs([resource]).values())).result(10)
        return set(found["cleanup.policy"].value.split(",")) == {"compact", "delete"} and found[
            "retention.ms"
        ].value == str(30 * DAY_MS)

    await_true("the dead-letter topic is configured", configured, 10)
