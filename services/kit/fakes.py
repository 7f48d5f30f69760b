"""The kit's ports in memory, for handlers' tests without servers. Kept honest by tests of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.kit.events import Incoming, Outgoing
    from services.kit.kafka import Record


class FakeOutbox:
    """Keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[Outgoing] = []

    async def add(self, events: Sequence[Outgoing]) -> None:
        """See `Outbox`."""
        self.events.extend(events)


class FakeInbox:
    """Remembers events in a set."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, UUID]] = set()

    async def fresh(self, events: Sequence[Incoming]) -> list[Incoming]:
        """See `Inbox`."""
        new = []
        for event in events:
            if (event.company, event.event_id) not in self.seen:
                self.seen.add((event.company, event.event_id))
                new.append(event)
        return new


class FakePublisher:
    """Keeps records in a list, and refuses while `away` is set."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher`."""
        if self.away:
            raise TemporaryError("no broker")
        self.records.extend(records)
