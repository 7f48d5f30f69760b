"""Batched events as single messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.contracts.v1.events_pb2 import MessagesRequested, MessageStatusesUpdated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.kit.kafka.envelope import Event


def flatten(events: Iterable[Event]) -> list[Any]:
    """Return the requests and status updates inside the events, and all other events unchanged."""
    return [part for event in events for part in _parts(event)]


def _parts(event: Event) -> list[Any]:
    match event:
        case MessagesRequested(requests=requests):
            return list(requests)
        case MessageStatusesUpdated(updates=updates):
            return [getattr(update, update.WhichOneof("update") or "") for update in updates]
        case _:
            return [event]
