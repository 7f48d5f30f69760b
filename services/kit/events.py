"""Events as they travel: an envelope with id, company and time around one event of the contracts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from google.protobuf.message import DecodeError

from services.contracts.v1.events_pb2 import (
    Envelope,
    MessageAccepted,
    MessageFailed,
    MessageRequested,
    MessageUncertain,
    StatusChanged,
)
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from services.contracts.topics import Topic

Event = MessageRequested | MessageAccepted | MessageFailed | MessageUncertain | StatusChanged
VERSION = 1
_FIELDS: dict[type, str] = {
    MessageRequested: "message_requested",
    MessageAccepted: "message_accepted",
    MessageFailed: "message_failed",
    MessageUncertain: "message_uncertain",
    StatusChanged: "status_changed",
}


class MalformedError(ValueError):
    """The bytes are no event of the contracts: parked, never retried."""


@dataclass(frozen=True)
class Outgoing:
    """An event on its way to a topic.

    Attributes:
        topic: where it goes.
        key: records of one key keep their order.
        company: the tenant.
        event: the message of the contracts.
        event_id: what consumers recognise it by.
    """

    topic: Topic
    key: str
    company: str
    event: Event
    event_id: UUID

    @classmethod
    def of(cls, topic: Topic, key: str, company: str, event: Event) -> Outgoing:
        """Give the event an id of its own."""
        return cls(topic, key, company, event, uuid7())

    def encode(self) -> bytes:
        """Return the envelope's bytes."""
        envelope = Envelope(event_id=str(self.event_id), company=self.company, version=VERSION)
        envelope.occurred_at.FromDatetime(datetime.now(UTC))
        getattr(envelope, _FIELDS[type(self.event)]).CopyFrom(self.event)
        return envelope.SerializeToString()


@dataclass(frozen=True)
class Incoming:
    """An event that a consumer received.

    Attributes:
        event_id: the same on every delivery.
        company: the tenant.
        event: the message of the contracts.
    """

    event_id: UUID
    company: str
    event: Event


def decode(payload: bytes | None) -> Incoming:
    """Read an envelope.

    Raises:
        MalformedError: not an envelope, or one without id, company or a known event.
    """
    try:
        envelope = Envelope.FromString(payload or b"")
        field = envelope.WhichOneof("event")
        if field is None or not envelope.company:
            raise MalformedError("an envelope without company or known event")
        return Incoming(UUID(envelope.event_id), envelope.company, getattr(envelope, field))
    except (DecodeError, ValueError) as error:
        raise MalformedError(str(error)) from error
