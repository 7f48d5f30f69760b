"""Encoding and decoding of events, and schema versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.topics import MESSAGE_REQUESTED, MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.ids import uuid7
from services.kit.kafka.envelope import (
    MAX_EVENT_BYTES,
    MalformedEventError,
    OutboundEvent,
    UnknownSchemaVersionError,
    batch_by_size,
    decode,
)

EMPTY_BATCH = v1.MessagesRequested()


def test_event_survives_encoding_and_decoding() -> None:
    outbound = OutboundEvent.create(
        MESSAGE_REQUESTED,
        "acme/main",
        "acme",
        v1.MessagesRequested(requests=[v1.MessageRequested(message_id="m", text="Olá")]),
    )
    inbound = decode(outbound.encode())
    assert (inbound.event_id, inbound.company, inbound.event) == (
        outbound.event_id,
        "acme",
        outbound.event,
    )


def test_parts_are_split_in_order_into_bounded_batches() -> None:
    texts = ["a" * MAX_EVENT_BYTES, *("b" * 10_000 for _ in range(4)), "c" * (2 * MAX_EVENT_BYTES), "d"]
    batches = list(batch_by_size(v1.MessageRequested(text=text) for text in texts))
    assert [[request.text[0] for request in batch] for batch in batches] == [
        ["a"],
        ["b"] * 3,
        ["b"],
        ["c"],
        ["d"],
    ]
    assert list(batch_by_size([])) == []


@pytest.mark.parametrize(
    "payload",
    [
        None,
        b"\xff\xff\xff",
        v1.Envelope(event_id=str(uuid7()), company="acme").SerializeToString(),
        v1.Envelope(event_id="x", company="acme", messages_requested=EMPTY_BATCH).SerializeToString(),
        v1.Envelope(event_id=str(uuid7()), messages_requested=EMPTY_BATCH).SerializeToString(),
    ],
    ids=["absent", "not-protobuf", "without-event", "invalid-id", "without-company"],
)
def test_payload_without_valid_event_is_malformed(payload: bytes | None) -> None:
    with pytest.raises(MalformedEventError):
        decode(payload)


def test_newer_version_and_unknown_event_are_unknown_schema_versions() -> None:
    envelope = v1.Envelope.FromString(
        OutboundEvent.create(MESSAGE_STATUS, "k", "acme", v1.MessageStatusesUpdated()).encode()
    )
    envelope.version = 2
    with pytest.raises(UnknownSchemaVersionError, match="version 2"):
        decode(envelope.SerializeToString())
    envelope.version = 1
    envelope.ClearField("message_statuses_updated")
    with pytest.raises(UnknownSchemaVersionError):
        decode(envelope.SerializeToString() + b"\x9a\x06\x00")
    with pytest.raises(MalformedEventError):
        decode(envelope.SerializeToString())


def test_unknown_fields_of_known_event_are_ignored() -> None:
    event = v1.MessageStatusesUpdated()
    event.MergeFromString(b"\x9a\x06\x00")
    assert decode(OutboundEvent.create(MESSAGE_STATUS, "k", "acme", event).encode()).company == "acme"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_documented_errors(payload: bytes) -> None:
    try:
        decode(payload)
    except (MalformedEventError, UnknownSchemaVersionError):
        return
