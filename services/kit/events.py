"""Events as they travel: an envelope with id, company and time around one event of the contracts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from services.contracts.v1.events_pb2 import (
    CampaignHalted,
    Envelope,
    MessageAccepted,
    MessageExpired,
    MessageFailed,
    MessageRecalled,
    MessageRequested,
    MessagesReported,
    MessagesRequested,
    MessageUncertain,
    StatusChanged,
)
from services.kit import trace
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from services.contracts.topics import Topic

Part = TypeVar("Part", bound="Message")
Event = (
    MessagesRequested
    | CampaignHalted
    | MessagesReported
    | MessageRequested
    | MessageAccepted
    | MessageFailed
    | MessageUncertain
    | StatusChanged
    | MessageRecalled
    | MessageExpired
)
VERSION = 1
"""Raised when what an event means changes so that those who do not know must not handle it."""
_FIRST_EVENT = 16
"""Envelope fields from this number on are events."""
MOST_BYTES = 32_768
"""Of what one event tells: batches of events are bounded by their number."""
_FIELDS: dict[type, str] = {
    MessagesRequested: "messages_requested",
    MessagesReported: "messages_reported",
    MessageRequested: "message_requested",
    MessageAccepted: "message_accepted",
    MessageFailed: "message_failed",
    MessageUncertain: "message_uncertain",
    StatusChanged: "status_changed",
    MessageRecalled: "message_recalled",
    MessageExpired: "message_expired",
    CampaignHalted: "campaign_halted",
}


class MalformedError(ValueError):
    """The bytes are no event of the contracts: a dead letter at once, never retried."""


class NewerSchemaError(ValueError):
    """An event of a later version than this process knows: the process that knows it is on its way."""


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
        """Return the envelope's bytes; it belongs to the trace of the work that is being done."""
        envelope = Envelope(
            event_id=str(self.event_id),
            company=self.company,
            version=VERSION,
            traceparent=trace.traceparent(),
        )
        envelope.occurred_at.FromDatetime(datetime.now(UTC))
        getattr(envelope, _FIELDS[type(self.event)]).CopyFrom(self.event)
        return envelope.SerializeToString()


def packed(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Divide what is to be told among events, in its order: each is a row, a record and a row for its reader.

    None tells more than `MOST_BYTES`, but for a part that is larger by itself.
    """
    pack: list[Part] = []
    size = 0
    for part in parts:
        if pack and size + part.ByteSize() > MOST_BYTES:
            yield pack
            pack, size = [], 0
        pack.append(part)
        size += part.ByteSize()
    if pack:
        yield pack


@dataclass(frozen=True)
class Incoming:
    """An event that a consumer received.

    Attributes:
        event_id: the same on every delivery.
        company: the tenant.
        event: the message of the contracts.
        traceparent: of the work that it tells; may be empty.
    """

    event_id: UUID
    company: str
    event: Event
    traceparent: str = ""


def decode(payload: bytes | None) -> Incoming:
    """Read an envelope.

    Raises:
        MalformedError: not an envelope, or one without id, company or event.
        NewerSchemaError: its version, or its event, is not known here yet.
    """
    try:
        envelope = Envelope.FromString(payload or b"")
        event_id = UUID(envelope.event_id)
    except (DecodeError, ValueError) as error:
        raise MalformedError(str(error)) from error
    field = envelope.WhichOneof("event")
    if envelope.version > VERSION or (field is None and _holds_unknown_event(envelope)):
        raise NewerSchemaError(f"version {envelope.version}, of which {VERSION} is known here")
    if field is None or not envelope.company:
        raise MalformedError("an envelope without company or event")
    return Incoming(event_id, envelope.company, getattr(envelope, field), envelope.traceparent)


def _holds_unknown_event(envelope: Envelope) -> bool:
    unknown = UnknownFieldSet(envelope)
    return any(unknown[place].field_number >= _FIRST_EVENT for place in range(len(unknown)))
