"""Failed events on a real broker: retried, waited for, dead, replayed, discarded."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Producer

from services.contracts.endpoints import DEAD_LETTERS_PATH
from services.contracts.topics import DAY_MS, MESSAGE_STATUS, dead_letter_topic_name, retry_topic_name
from services.contracts.v1 import events_pb2 as v1
from services.kit.http.app import create_app
from services.kit.jobs import dlq
from services.kit.kafka import consumer_lag, kafka_consumer
from services.kit.kafka.client import KafkaPublisher, client_config
from services.kit.kafka.dead_letter_route import dead_letter_router
from services.kit.kafka.dead_letters import REPLAYED, KafkaDeadLetterStore, resolve_dead_letters
from services.kit.kafka.envelope import SCHEMA_VERSION
from services.kit.kafka.failed_records import RetryPolicy
from services.kit.observability import tracing
from services.kit.observability.health import Health
from services.kit.settings import KafkaSettings
from tests.metrics import metric
from tests.servers.consumer_harness import PROCESS, RecordingHandler, numbered_event, run_consumer, wait_until
from tests.servers.process import wait_until as wait_until_blocking

if TYPE_CHECKING:
    from services.kit.kafka.dead_letters import DeadLetter
    from services.kit.postgres.database import Database
    from tests.servers.kafka import Kafka
    from tests.servers.postgres import Postgres

pytestmark = pytest.mark.integration
SHORT_RETRIES = RetryPolicy(backoff_seconds=0.5, max_attempts=3, max_attempts_unknown_schema=2)
TOPIC = MESSAGE_STATUS.name


def produce(kafka: Kafka, *payloads: bytes, key: bytes = b"key") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for payload in payloads:
        producer.produce(TOPIC, payload, key)
    assert producer.flush(10) == 0


def list_dead_letters(kafka: Kafka) -> list[DeadLetter]:
    return KafkaDeadLetterStore({"bootstrap.servers": kafka.bootstrap}).list_unresolved()


async def call_route(kafka: Kafka) -> dict[str, Any]:
    """Return what the worker of campaigns answers, with its own account."""
    router = dead_letter_router(PROCESS, kafka.settings(PROCESS.service))
    app = create_app("worker", Health(), routers=[router])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as http:
        response = await http.get(DEAD_LETTERS_PATH)
    assert response.status_code == 200, response.text
    return dict(response.json())


def metric_or_zero(name: str, **labels: str) -> float:
    return metric(name, **labels) or 0.0


async def test_malformed_payload_is_dead_at_once_and_other_records_proceed(
    clean_kafka: Kafka, database: Database
) -> None:
    before = metric_or_zero("esq_consumer_dead_letters_total", topic=TOPIC, reason="malformed")
    valid = [numbered_event("valid", number).encode() for number in range(4)]
    produce(clean_kafka, valid[0], b"\xff\xff not an event", *valid[1:])
    effects = RecordingHandler(database)
    async with run_consumer(clean_kafka, effects):
        await wait_until(lambda: len(effects.handled) == 4)
        await wait_until(lambda: len(list_dead_letters(clean_kafka)) == 1)
    (dead_letter,) = list_dead_letters(clean_kafka)
    summary = dead_letter.summary()
    assert summary["reason"] == "malformed"
    assert summary["attempts"] == 1
    assert dead_letter.record.payload == b"\xff\xff not an event"
    assert dead_letter.id.startswith(f"campaigns/{TOPIC}/")
    assert [number for _, number in effects.handled] == [0, 1, 2, 3]
    assert metric_or_zero("esq_consumer_dead_letters_total", topic=TOPIC, reason="malformed") == before + 1


async def test_failed_event_is_retried_later_without_delaying_others(
    clean_kafka: Kafka, database: Database
) -> None:
    effects = RecordingHandler(database)
    effects.poison = {"bad"}
    produce(clean_kafka, numbered_event("bad", 1).encode(), numbered_event("valid", 2).encode())
    async with run_consumer(clean_kafka, effects, RetryPolicy(backoff_seconds=1.0, max_attempts=50)):
        await wait_until(lambda: len(effects.attempts) >= 3)
        assert effects.handled == [("valid", 2)]
        assert effects.attempts[2] - effects.attempts[0] >= 0.9
        effects.poison = set()
        await wait_until(lambda: effects.handled == [("valid", 2), ("bad", 1)])
    assert list_dead_letters(clean_kafka) == []


async def test_dead_letter_after_max_attempts_has_all_facts(clean_kafka: Kafka, database: Database) -> None:
    effects = RecordingHandler(database)
    effects.poison = {"bad"}
    with tracing.span("request", ""):
        trace_id = tracing.current_trace_id()
        produce(clean_kafka, numbered_event("bad", 1).encode())
    async with run_consumer(clean_kafka, effects, SHORT_RETRIES):
        await wait_until(lambda: len(list_dead_letters(clean_kafka)) == 1)
    (dead_letter,) = list_dead_letters(clean_kafka)
    summary = dead_letter.summary()
    assert len(effects.attempts) == 2 * 3
    assert effects.handled == []
    assert (summary["reason"], summary["attempts"]) == ("failed", 3)
    assert summary["detail"] == "LookupError in the handler"
    assert summary["event"] == "message_statuses_updated"
    assert summary["failed_at"] <= summary["dead_at"]
    redacted = dead_letter.redacted()
    assert (redacted["key"], redacted["company"]) == ("key", "acme")
    assert redacted["envelope"]["traceparent"].split("-")[1] == trace_id


@pytest.mark.parametrize("unknown", ["version", "event"])
async def test_unknown_schema_version_is_retried_without_being_handled(
    clean_kafka: Kafka, database: Database, unknown: str
) -> None:
    envelope = v1.Envelope.FromString(numbered_event("new", 1).encode())
    if unknown == "version":
        envelope.version = SCHEMA_VERSION + 1
    else:
        envelope.ClearField("message_statuses_updated")
    # An event with number 99, without fields, that only a later release knows.
    produce(clean_kafka, envelope.SerializeToString() + (b"\x9a\x06\x00" if unknown == "event" else b""))
    effects = RecordingHandler(database)
    async with run_consumer(clean_kafka, effects, SHORT_RETRIES):
        await wait_until(lambda: len(list_dead_letters(clean_kafka)) == 1)
    summary = list_dead_letters(clean_kafka)[0].summary()
    assert (summary["reason"], summary["attempts"]) == ("unknown_schema", 2)
    assert effects.handled == []


async def test_consumer_stays_in_its_group_while_database_is_down(
    clean_kafka: Kafka, database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage is longer than max.poll.interval.ms: a member that does not poll is removed from the group."""
    max_poll_interval_ms = 10_000
    monkeypatch.setattr(kafka_consumer, "SESSION_TIMEOUT_MS", max_poll_interval_ms)
    monkeypatch.setattr(
        kafka_consumer,
        "client_config",
        lambda *args: client_config(*args) | {"max.poll.interval.ms": max_poll_interval_ms},
    )
    monkeypatch.setattr(consumer_lag, "MEASURE_INTERVAL_SECONDS", 0.2)
    effects = RecordingHandler(database)
    labels = {"topic": TOPIC, "group": "esq-campaigns"}
    async with run_consumer(clean_kafka, effects, SHORT_RETRIES):
        produce(clean_kafka, numbered_event("a", 0).encode())
        await wait_until(lambda: len(effects.handled) == 1)
        members = await asyncio.to_thread(member_ids, clean_kafka)
        await asyncio.to_thread(postgres.kill)
        try:
            produce(clean_kafka, *(numbered_event("a", number).encode() for number in range(1, 20)))
            killed_at = time.monotonic()
            await wait_until(lambda: time.monotonic() - killed_at > max_poll_interval_ms / 1000 + 3)
            assert metric_or_zero("esq_consumer_lag_records", **labels) == 19
            age = metric_or_zero("esq_consumer_oldest_record_age_seconds", **labels)
            assert age > max_poll_interval_ms / 1000
        finally:
            await asyncio.to_thread(postgres.start)
        await wait_until(lambda: len(effects.handled) == 20)
        assert await asyncio.to_thread(member_ids, clean_kafka) == members
        await wait_until(lambda: metric_or_zero("esq_consumer_lag_records", **labels) == 0)
    assert [number for _, number in effects.handled] == list(range(20))
    assert list_dead_letters(clean_kafka) == []


def member_ids(kafka: Kafka) -> set[str]:
    admin = kafka.admin()
    described = admin.describe_consumer_groups(["esq-campaigns"])["esq-campaigns"].result(10)
    return {member.member_id for member in described.members}


async def test_replayed_dead_letter_has_its_effect_once_and_discarded_one_has_none(
    clean_kafka: Kafka, database: Database
) -> None:
    publisher = KafkaPublisher(client_config(PROCESS, KafkaSettings(kafka_bootstrap=clean_kafka.bootstrap)))
    effects = RecordingHandler(database)
    effects.poison = {"fixed", "broken"}
    for name in ("fixed", "broken"):
        produce(clean_kafka, numbered_event(name, 1).encode(), key=name.encode())
    async with run_consumer(clean_kafka, effects, SHORT_RETRIES):
        await wait_until(lambda: len(list_dead_letters(clean_kafka)) == 2)
        by_key = {letter.redacted()["key"]: letter for letter in list_dead_letters(clean_kafka)}
        settings = dlq.DlqSettings(kafka_bootstrap=clean_kafka.bootstrap)
        listed = await call_route(clean_kafka)
        assert (listed["total"], listed["counts"][0]["dead_letters"]) == (2, 2)
        assert {letter["id"] for letter in listed["dead_letters"]} == {
            letter.id for letter in by_key.values()
        }
        assert "acme" not in str(listed)
        discarded = await dlq.run(settings, "discard", [by_key["broken"].id])
        assert discarded == {"succeeded": True, "total": 1, "ids": [by_key["broken"].id]}
        assert [letter.id for letter in list_dead_letters(clean_kafka)] == [by_key["fixed"].id]
        shown = await dlq.run(settings, "show", [by_key["fixed"].id])
        assert shown["dead_letters"][0]["reason"] == "failed"
        effects.poison = {"broken"}
        assert (await dlq.run(settings, "replay", ["campaigns"]))["ids"] == [by_key["fixed"].id]
        assert not (await dlq.run(settings, "replay", ["campaigns"]))["succeeded"]
        await resolve_dead_letters([by_key["fixed"]], REPLAYED, publisher, datetime.now(UTC))
        await wait_until(lambda: effects.handled == [("fixed", 1)])
        produce(clean_kafka, numbered_event("last", 1).encode(), key=b"fixed")
        await wait_until(lambda: ("last", 1) in effects.handled)
    assert effects.handled == [("fixed", 1), ("last", 1)]
    assert list_dead_letters(clean_kafka) == []
    publisher.close()


async def test_handler_runs_in_the_trace_of_its_event(clean_kafka: Kafka, database: Database) -> None:
    with tracing.span("request", ""):
        trace_id = tracing.current_trace_id()
        produce(clean_kafka, numbered_event("a", 1).encode())
    effects = RecordingHandler(database)
    async with run_consumer(clean_kafka, effects):
        await wait_until(lambda: len(effects.handled) == 1)
    assert effects.traces == [trace_id]


def test_retry_and_dead_letter_topics_exist_as_declared(kafka: Kafka) -> None:
    topics = kafka.admin().list_topics(timeout=5).topics
    assert len(topics[retry_topic_name(TOPIC, "campaigns")].partitions) == 3
    dead_letter_topic = dead_letter_topic_name(TOPIC, "campaigns")
    assert len(topics[dead_letter_topic].partitions) == 1

    def is_configured() -> bool:
        from confluent_kafka.admin import ConfigResource, ResourceType  # noqa: PLC0415 - its stubs forget them

        admin, resource = kafka.admin(), ConfigResource(ResourceType.TOPIC, dead_letter_topic)
        options = next(iter(admin.describe_configs([resource]).values())).result(10)
        return set(options["cleanup.policy"].value.split(",")) == {"compact", "delete"} and options[
            "retention.ms"
        ].value == str(30 * DAY_MS)

    wait_until_blocking("the dead-letter topic is configured", is_configured, 10)
