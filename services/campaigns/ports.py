"""What the handlers need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from services.campaigns.commands import Plan, Progress
    from services.campaigns.domain import Campaign, Move, Recipient, State
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox


class Campaigns(Protocol):
    """Campaigns, their plans and their messages, inside a unit of work."""

    async def add(self, campaign: Campaign, key: str, digest: bytes) -> bool:
        """Store a campaign and its plan; False when the company used this key before."""
        ...

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """Return the campaign that was made with this key, and the digest of its request."""
        ...

    async def claim_plan(self, lease_seconds: float) -> Plan | None:
        """Take a plan that nobody works on, for so long."""
        ...

    async def hold_plan(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """Move a plan's cursor and its lease's end (0 gives it back); False when another has it by now."""
        ...

    async def end_plan(self, plan: Plan, failure: str | None) -> bool:
        """Close a plan: complete, or given up for a reason; False when another has it by now."""
        ...

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """Remember how many contacts the list has."""
        ...

    async def add_recipients(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """Store messages of contacts that have none in this campaign; return the ids of those stored."""
        ...

    async def hold_messages(
        self, company: str, campaign_id: UUID, message_ids: Sequence[UUID]
    ) -> Mapping[UUID, State]:
        """Lock messages and return where they are."""
        ...

    async def move_messages(self, company: str, campaign_id: UUID, moves: Sequence[Move]) -> None:
        """Store where messages are now."""
        ...

    async def count(self, company: str, campaign_id: UUID, changes: Mapping[State, int]) -> None:
        """Change the counts per state."""
        ...

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """Return how far a campaign is."""
        ...

    async def unsettled(self) -> Sequence[Campaign]:
        """Return the campaigns with messages of which an event may have been lost."""
        ...

    async def unsettled_of(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """Return the unsettled messages of these contacts, by contact."""
        ...

    async def messages(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[tuple[UUID, State]]:
        """Return messages by id, those after the given one."""
        ...


class Unit(Protocol):
    """One transaction: what is not committed never happened."""

    campaigns: Campaigns
    outbox: Outbox
    inbox: Inbox

    async def commit(self) -> None:
        """Make it happen."""
        ...


class Units(Protocol):
    """Begins transactions."""

    def __call__(self) -> AbstractAsyncContextManager[Unit]:
        """Begin one."""
        ...


class ContactPages(Protocol):
    """The contacts service, as the planner sees it."""

    async def page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """Return the list's size and its contacts after the given one, each with a new message id.

        Raises:
            NotFoundError: there is no such list.
            TemporaryError: the service is away.
        """
        ...
