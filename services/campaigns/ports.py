"""What the handlers need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.commands import NewCampaign, Owed, Plan, Progress, Result, Unsettled
    from services.campaigns.domain import Campaign, CampaignKey, MessageKey, Move, Recipient, State
    from services.campaigns.lifecycle import Status
    from services.campaigns.timetable import Times, Turn
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox


class Campaigns(Protocol):
    """Campaigns and their counts, inside a unit of work."""

    async def add(self, new: NewCampaign) -> bool:
        """Store a campaign; False when the company used this key before."""
        ...

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """Return the campaign that was made with this key, and the digest of its request."""
        ...

    async def hold(self, company: str, campaign_id: UUID) -> Progress | None:
        """Return a campaign as it stands; nobody else changes what is asked of it until the unit ends."""
        ...

    async def change(self, campaign: Campaign, status: Status, times: Times) -> None:
        """Store another content and other times of a campaign that has not begun; it is to be looked at."""
        ...

    async def ask(self, campaign: Campaign, status: Status) -> None:
        """Store what is asked of a campaign from now on, and its run; it is to be looked at."""
        ...

    async def turn(self, campaign: Campaign, turn: Turn) -> None:
        """Store what became of a campaign by itself, its run, and when it is to be looked at again."""
        ...

    async def status(self, campaign: CampaignKey) -> Status | None:
        """Return what was asked of a campaign; it stays that until the unit ends."""
        ...

    async def due(self, now: datetime) -> Progress | None:
        """Hold a campaign that is to be looked at by now and that nobody else is looking at."""
        ...

    async def count(self, changes: Mapping[CampaignKey, Mapping[State, int]]) -> None:
        """Change campaigns' counts per state."""
        ...

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """Return how far a campaign is."""
        ...

    async def page(self, company: str, before: UUID | None, limit: int) -> list[Progress]:
        """Return how far a company's campaigns are, the newest first, those made before the given one."""
        ...

    async def unsettled(self) -> Sequence[tuple[Campaign, Status]]:
        """Return the campaigns with messages of which an event may have been lost."""
        ...


class Plans(Protocol):
    """Plans: who works on the list of a campaign, and how far they are. Inside a unit of work."""

    async def open(self, campaign: Campaign) -> None:
        """Have a campaign planned: from the beginning, from where it was paused, or what came back."""
        ...

    async def park(self, campaign: Campaign) -> None:
        """Have nobody plan a campaign; who is at it has lost the claim."""
        ...

    async def claim(self, lease_seconds: float) -> Plan | None:
        """Take a plan that nobody works on, for so long."""
        ...

    async def hold(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """Move a plan's cursor and its lease's end (0 gives it back); False when another has it by now."""
        ...

    async def end(self, plan: Plan, failure: str | None) -> bool:
        """Close a plan: complete, or given up for a reason; False when another has it by now."""
        ...

    async def begin_walk(self, plan: Plan) -> bool:
        """Remember when a walk for what came back began; False when another has the plan by now."""
        ...

    async def walk_again(self, plan: Plan, pause_seconds: float) -> bool:
        """Have another walk begin in a while; False when another has the plan by now."""
        ...

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """Remember how many contacts the list has."""
        ...


class Messages(Protocol):
    """Messages of campaigns, inside a unit of work. Who changes states changes the counts too."""

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """Store messages of contacts that have none in this campaign; return the ids of those stored."""
        ...

    async def hold(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, State]:
        """Lock messages, in one order everywhere, and return where they are."""
        ...

    async def move(self, moves: Sequence[Move]) -> None:
        """Store where messages are now."""
        ...

    async def recall(self, campaign: CampaignKey, runs: Mapping[UUID, int], to: State) -> int:
        """Move queued messages off the ladder that were requested under just that run; return how many."""
        ...

    async def take_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """Queue what is pending of these contacts under the campaign's run; return messages by contact."""
        ...

    async def cancel_pending(self, company: str, campaign_id: UUID, most: int) -> int:
        """Cancel what is pending, so many at most; return how many."""
        ...

    async def cancel_left(self, campaign: Campaign) -> int:
        """Cancel what was pending before the walk began that is being ended; return how many."""
        ...

    async def owed(self, campaign: Campaign) -> Owed:
        """Return what a resumed campaign still waits for."""
        ...

    async def unsettled(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, Unsettled]:
        """Return the unsettled messages of these contacts, by contact."""
        ...

    async def page(self, company: str, campaign_id: UUID, after: UUID | None, limit: int) -> list[Result]:
        """Return messages by id, those after the given one."""
        ...


class Unit(Protocol):
    """One transaction: what is not committed never happened."""

    campaigns: Campaigns
    plans: Plans
    messages: Messages
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
