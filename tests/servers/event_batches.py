"""Batch events: built from status updates, and split into single messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.contracts.v1 import events_pb2 as v1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.kit.kafka.envelope import Event

    StatusUpdate = (
        v1.MessageAccepted
        | v1.MessageFailed
        | v1.MessageUncertain
        | v1.MessageStatusChanged
        | v1.MessageReturned
        | v1.MessageExpired
    )

_UPDATE_FIELDS = {field.message_type.name: field.name for field in v1.MessageStatusUpdate.DESCRIPTOR.fields}


def statuses_updated(*updates: StatusUpdate) -> v1.MessageStatusesUpdated:
    """Return the event of the status updates, in the order given."""
    return v1.MessageStatusesUpdated(
        updates=[
            v1.MessageStatusUpdate(**{_UPDATE_FIELDS[type(update).__name__]: update})  # type: ignore[arg-type] # the type has this field
            for update in updates
        ]
    )


def flatten(events: Iterable[Event]) -> list[Any]:
    """Return the requests and status updates inside the events, and all other events unchanged."""
    return [part for event in events for part in _parts(event)]


def _parts(event: Event) -> list[Any]:
    match event:
        case v1.MessagesRequested(requests=requests):
            return list(requests)
        case v1.MessageStatusesUpdated(updates=updates):
            return [getattr(update, update.WhichOneof("update") or "") for update in updates]
        case _:
            return [event]
