"""Retry records, dead letters, and the arguments of the job behind `esq dlq`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from services.contracts.topics import EVENT_TOPICS, MESSAGE_REQUESTED, MESSAGE_STATUS, TOPICS
from services.contracts.v1 import events_pb2 as v1
from services.kit.jobs import dlq
from services.kit.kafka.client import Record
from services.kit.kafka.dead_letters import DISCARDED, DeadLetter, select_dead_letters
from services.kit.kafka.envelope import OutboundEvent
from services.kit.kafka.failed_records import (
    NOT_BEFORE_HEADER,
    ORIGIN_HEADER,
    ConsumedRecord,
    FailedRecord,
    Reason,
    RetryPolicy,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = 1_000_000.0


def consumed_record(
    payload: bytes | None = b"x",
    topic: str = MESSAGE_STATUS.name,
    offset: int = 7,
    **headers: str,
) -> ConsumedRecord:
    encoded = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return ConsumedRecord(topic, 3, offset, b"key", payload, encoded, NOW)


def encoded_headers(record: Record) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else value.encode() for name, value in record.headers.items()
    }


def consume_again(failed_record: FailedRecord, retry_policy: RetryPolicy) -> ConsumedRecord:
    """Return the record that a failed record is published as."""
    record = failed_record.to_record("campaigns", retry_policy, NOW)
    key = record.key if isinstance(record.key, bytes) else (record.key or "").encode()
    return ConsumedRecord(record.topic, 0, 99, key, record.payload, encoded_headers(record), NOW)


def test_failed_record_is_retried_then_dead_and_keeps_its_origin() -> None:
    retry_policy = RetryPolicy(backoff_seconds=30, max_attempts=3)
    record, topics = consumed_record(traceparent=PARENT), []
    for attempt in range(1, 4):
        failed_record = FailedRecord(record, Reason.FAILED, "LookupError in the handler")
        assert failed_record.attempt == attempt
        record = consume_again(failed_record, retry_policy)
        topics.append(record.topic)
    assert topics == ["message.status.retry.campaigns"] * 2 + ["message.status.dlq.campaigns"]
    dead_letter = DeadLetter(record)
    assert dead_letter.id == "campaigns/message.status/3/7"
    assert dead_letter.summary()["attempts"] == 3
    assert dead_letter.redacted()["key"] == "key"
    assert dead_letter.redacted()["trace"] == PARENT


def test_retry_is_not_due_before_the_backoff() -> None:
    failed_record = FailedRecord(consumed_record(), Reason.UNKNOWN_SCHEMA, "version 2")
    record = consume_again(failed_record, RetryPolicy(backoff_seconds=30))
    assert record.not_before == NOW + 30
    assert record.key == b"key"


def test_dead_letter_of_record_without_payload_is_not_a_tombstone() -> None:
    failed_record = FailedRecord(consumed_record(None), Reason.MALFORMED, "not an event")
    record = consume_again(failed_record, RetryPolicy())
    assert record.topic.endswith(".dlq.campaigns")
    assert record.payload == b""


def test_replayed_dead_letter_starts_again_at_the_consumer_that_failed() -> None:
    failed_record = FailedRecord(consumed_record(), Reason.MALFORMED, "not an event")
    dead = consume_again(failed_record, RetryPolicy())
    record = DeadLetter(dead).replay(datetime.now(UTC))
    assert record.topic == "message.status.retry.campaigns"
    assert record.key == b"key"
    assert NOT_BEFORE_HEADER not in record.headers
    replayed = ConsumedRecord(record.topic, 0, 1, b"key", record.payload, encoded_headers(record), NOW)
    assert FailedRecord(replayed, Reason.FAILED, "again").attempt == 1
    assert replayed.origin == "message.status/3/7"


def test_tombstone_is_empty_record_with_key_of_dead_letter() -> None:
    failed_record = FailedRecord(consumed_record(), Reason.MALFORMED, "not an event")
    dead = consume_again(failed_record, RetryPolicy())
    record = DeadLetter(dead).tombstone(DISCARDED, datetime.now(UTC))
    assert (record.topic, record.key, record.payload) == (dead.topic, "message.status/3/7", None)


def test_dead_letters_are_selected_by_whole_path_segments() -> None:
    dead_letters = [
        DeadLetter(
            consume_again(FailedRecord(consumed_record(offset=offset), Reason.MALFORMED, "x"), RetryPolicy())
        )
        for offset in (1, 12)
    ]
    selected = select_dead_letters(dead_letters, ["campaigns/message.status/3/1"])
    assert [dead_letter.record.origin for dead_letter in selected] == ["message.status/3/1"]
    assert len(select_dead_letters(dead_letters, ["campaigns/message.status/"])) == 2
    assert select_dead_letters(dead_letters, ["campaigns/message"]) == []


def test_personal_data_is_redacted() -> None:
    request = v1.MessageRequested(message_id="m", to="+5511999999999", text="Olá")
    event = v1.MessagesRequested(requests=[request])
    payload = OutboundEvent.create(MESSAGE_REQUESTED, "k", "acme", event).encode()
    dead_letter = DeadLetter(
        consumed_record(payload, f"{MESSAGE_REQUESTED.name}.dlq.whatsapp", esq_origin="message.requested/0/1")
    )
    document = json.dumps(dead_letter.redacted(), ensure_ascii=False)
    assert "5511999999999" not in document
    assert "Olá" not in document
    assert '"message_id": "m"' in document
    assert ORIGIN_HEADER == "esq-origin"


@pytest.mark.parametrize("arguments", [[], ["list"], ["show"], ["burn", "x"]])
def test_invalid_arguments_of_dlq_job_exit_with_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        dlq.main(arguments)
    assert caught.value.code == 2


def test_each_consumer_of_a_topic_has_a_retry_and_a_dead_letter_topic() -> None:
    names = {topic.name for topic in TOPICS}
    for topic in EVENT_TOPICS:
        for consumer in topic.consumers:
            assert {f"{topic.name}.retry.{consumer}", f"{topic.name}.dlq.{consumer}"} <= names
