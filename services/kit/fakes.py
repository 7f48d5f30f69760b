"""In-memory fakes of the kit's ports, for unit tests of handlers. Their own tests keep them correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.kit.kafka.client import Record
    from services.kit.kafka.envelope import InboundEvent, OutboundEvent


class FakeOutbox:
    """Keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[OutboundEvent] = []

    async def add(self, events: Sequence[OutboundEvent]) -> None:
        """See `Outbox.add`."""
        self.events.extend(events)


class FakeInbox:
    """Keeps the ids of processed events in a set."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, UUID]] = set()

    async def filter_new(self, events: Sequence[InboundEvent]) -> list[InboundEvent]:
        """See `Inbox.filter_new`."""
        new = []
        for event in events:
            if (event.company, event.event_id) not in self.seen:
                self.seen.add((event.company, event.event_id))
                new.append(event)
        return new


class FakePublisher:
    """Keeps records in a list; raises while `unavailable` is set."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.unavailable = False

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher.publish`."""
        if self.unavailable:
            raise TemporaryError("no broker is available")
        self.records.extend(records)
