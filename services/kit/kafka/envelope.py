"""Event envelope: encodes and decodes one event of the contracts with its id, company and time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from services.contracts.v1.events_pb2 import (
    CampaignRunStopped,
    Envelope,
    MessagesRequested,
    MessageStatusesUpdated,
)
from services.kit.ids import uuid7
from services.kit.observability.tracing import current_traceparent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from services.contracts.topics import Topic

EventPart = TypeVar("EventPart", bound="Message")
Event = MessagesRequested | CampaignRunStopped | MessageStatusesUpdated
SCHEMA_VERSION = 1
"""Raised when the meaning of an event changes so that older consumers must not handle it."""
_FIRST_EVENT_FIELD = 16
"""Envelope fields from this number on are events."""
MAX_EVENT_BYTES = 32_768
"""Limit of one event: batches of events are limited by their number."""
_FIELDS: dict[type, str] = {
    MessagesRequested: "messages_requested",
    CampaignRunStopped: "campaign_run_stopped",
    MessageStatusesUpdated: "message_statuses_updated",
}


class MalformedEventError(ValueError):
    """The payload is not an event of the contracts: it becomes a dead letter at once and is never retried."""


class UnknownSchemaVersionError(ValueError):
    """The event has a later schema version; a release of the consumer that knows it is being deployed."""


@dataclass(frozen=True)
class OutboundEvent:
    """An event to publish.

    Attributes:
        topic: topic to publish to.
        key: record key; records of one key keep their order.
        company: tenant.
        event: message of the contracts.
        event_id: id by which consumers deduplicate.
    """

    topic: Topic
    key: str
    company: str
    event: Event
    event_id: UUID

    @classmethod
    def create(cls, topic: Topic, key: str, company: str, event: Event) -> OutboundEvent:
        """Create an event with a new id.

        Args:
            topic: topic to publish to.
            key: record key.
            company: tenant.
            event: message of the contracts.

        Returns:
            The event.
        """
        return cls(topic, key, company, event, uuid7())

    def encode(self) -> bytes:
        """Return the encoded envelope; it carries the current trace."""
        envelope = Envelope(
            event_id=str(self.event_id),
            company=self.company,
            version=SCHEMA_VERSION,
            traceparent=current_traceparent(),
        )
        envelope.occurred_at.FromDatetime(datetime.now(UTC))
        getattr(envelope, _FIELDS[type(self.event)]).CopyFrom(self.event)
        return envelope.SerializeToString()


def batch_by_size(parts: Iterable[EventPart]) -> Iterator[list[EventPart]]:
    """Split the parts, in order, into batches: each event costs a row, a record and a row at its consumer.

    A batch does not exceed `MAX_EVENT_BYTES`, unless a single part does.

    Yields:
        The batches.
    """
    batch: list[EventPart] = []
    size = 0
    for part in parts:
        if batch and size + part.ByteSize() > MAX_EVENT_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.ByteSize()
    if batch:
        yield batch


@dataclass(frozen=True)
class InboundEvent:
    """A consumed event.

    Attributes:
        event_id: id, the same on every delivery.
        company: tenant.
        event: message of the contracts.
        traceparent: trace of the work that it describes; may be empty.
    """

    event_id: UUID
    company: str
    event: Event
    traceparent: str = ""


def decode(payload: bytes | None) -> InboundEvent:
    """Decode an envelope.

    Returns:
        The event with its envelope.

    Raises:
        MalformedEventError: the payload is not an envelope, or lacks id, company or event.
        UnknownSchemaVersionError: its version, or its event, is not known here yet.
    """
    try:
        envelope = Envelope.FromString(payload or b"")
        event_id = UUID(envelope.event_id)
    except (DecodeError, ValueError) as error:
        raise MalformedEventError(str(error)) from error
    field = envelope.WhichOneof("event")
    if envelope.version > SCHEMA_VERSION or (field is None and _has_unknown_event(envelope)):
        raise UnknownSchemaVersionError(
            f"schema version {envelope.version}; the latest known version is {SCHEMA_VERSION}"
        )
    if field is None or not envelope.company:
        raise MalformedEventError("the envelope has no company or no event")
    return InboundEvent(event_id, envelope.company, getattr(envelope, field), envelope.traceparent)


def _has_unknown_event(envelope: Envelope) -> bool:
    unknown = UnknownFieldSet(envelope)
    return any(unknown[index].field_number >= _FIRST_EVENT_FIELD for index in range(len(unknown)))
