"""Campaigns and the contacts service in memory, for tests of handlers.

One transaction at a time; what is not committed is forgotten, as in Postgres.
"""

from __future__ import annotations

import copy
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.campaigns.commands import Plan, Progress
from services.campaigns.domain import UNSETTLED, State, stage_of
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.fakes import FakeInbox, FakeOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from services.campaigns.domain import Campaign, Move, Recipient
    from services.campaigns.ports import Campaigns
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox


@dataclass
class PlanRow:
    """A plan as it is stored."""

    campaign: Campaign
    cursor: UUID | None = None
    epoch: int = 0
    leased_until: float = 0.0
    ended: bool = False
    failure: str | None = None
    total: int | None = None


@dataclass
class Tables:
    """Everything that is stored."""

    keys: dict[tuple[str, str], tuple[UUID, bytes]] = field(default_factory=dict)
    plans: dict[tuple[str, UUID], PlanRow] = field(default_factory=dict)
    messages: dict[tuple[str, UUID], dict[UUID, State]] = field(default_factory=dict)
    contacts: dict[tuple[str, UUID, UUID], UUID] = field(default_factory=dict)
    counts: dict[tuple[str, UUID], dict[State, int]] = field(default_factory=dict)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    inbox: FakeInbox = field(default_factory=FakeInbox)


class FakeUnits:
    """See `ports.Units`."""

    def __init__(self) -> None:
        self.tables = Tables()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[FakeUnit]:
        """Begin a transaction on a copy of everything."""
        yield FakeUnit(self)


class FakeUnit:
    """See `ports.Unit`."""

    def __init__(self, units: FakeUnits) -> None:
        self._units = units
        self._tables = copy.deepcopy(units.tables)
        self.campaigns: Campaigns = FakeCampaigns(self._tables)
        self.outbox: Outbox = self._tables.outbox
        self.inbox: Inbox = self._tables.inbox

    async def commit(self) -> None:
        """Make the copy the truth."""
        self._units.tables = copy.deepcopy(self._tables)


class FakeCampaigns:
    """See `ports.Campaigns`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, campaign: Campaign, key: str, digest: bytes) -> bool:
        """See `Campaigns`."""
        if (campaign.company, key) in self._tables.keys:
            return False
        self._tables.keys[campaign.company, key] = (campaign.id, digest)
        self._tables.plans[campaign.company, campaign.id] = PlanRow(campaign)
        return True

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """See `Campaigns`."""
        return self._tables.keys.get((company, key))

    async def claim_plan(self, lease_seconds: float) -> Plan | None:
        """See `Campaigns`."""
        now = time.monotonic()
        waiting = [row for row in self._tables.plans.values() if not row.ended and row.leased_until <= now]
        if not waiting:
            return None
        row = min(waiting, key=lambda one: one.leased_until)
        row.epoch, row.leased_until = row.epoch + 1, now + lease_seconds
        return Plan(row.campaign, row.cursor, row.epoch)

    async def hold_plan(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `Campaigns`."""
        row = self._row(plan)
        if row is not None:
            row.cursor, row.leased_until = cursor, time.monotonic() + lease_seconds
        return row is not None

    async def end_plan(self, plan: Plan, failure: str | None) -> bool:
        """See `Campaigns`."""
        row = self._row(plan)
        if row is not None:
            row.ended, row.failure = True, failure
        return row is not None

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `Campaigns`."""
        self._tables.plans[campaign.company, campaign.id].total = total

    async def add_recipients(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `Campaigns`."""
        stored = set()
        for recipient in recipients:
            contact = (campaign.company, campaign.id, recipient.contact_id)
            if contact not in self._tables.contacts:
                self._tables.contacts[contact] = recipient.message_id
                self._messages(campaign.company, campaign.id)[recipient.message_id] = State.QUEUED
                stored.add(recipient.message_id)
        return stored

    async def hold_messages(
        self, company: str, campaign_id: UUID, message_ids: Sequence[UUID]
    ) -> Mapping[UUID, State]:
        """See `Campaigns`."""
        known = self._messages(company, campaign_id)
        return {message_id: known[message_id] for message_id in message_ids if message_id in known}

    async def move_messages(self, company: str, campaign_id: UUID, moves: Sequence[Move]) -> None:
        """See `Campaigns`."""
        self._messages(company, campaign_id).update({move.message_id: move.after for move in moves})

    async def count(self, company: str, campaign_id: UUID, changes: Mapping[State, int]) -> None:
        """See `Campaigns`."""
        counts = self._tables.counts.setdefault((company, campaign_id), {})
        for state, change in changes.items():
            counts[state] = counts.get(state, 0) + change

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        row = self._tables.plans.get((company, campaign_id))
        if row is None:
            return None
        counts = {state: n for state, n in self._tables.counts.get((company, campaign_id), {}).items() if n}
        planned, stage = sum(counts.values()), stage_of(row.ended, row.failure, counts)
        total = planned if row.ended else row.total
        return Progress(row.campaign, stage, row.failure, planned, total, counts)

    async def unsettled(self) -> Sequence[Campaign]:
        """See `Campaigns`."""
        found = [key for key, known in self._tables.messages.items() if set(known.values()) & set(UNSETTLED)]
        return [self._tables.plans[key].campaign for key in sorted(found)]

    async def unsettled_of(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `Campaigns`."""
        known = self._messages(campaign.company, campaign.id)
        keys = {contact: (campaign.company, campaign.id, contact) for contact in contact_ids}
        held = {
            contact: self._tables.contacts[key]
            for contact, key in keys.items()
            if key in self._tables.contacts
        }
        return {contact: message for contact, message in held.items() if known[message] in UNSETTLED}

    async def messages(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[tuple[UUID, State]]:
        """See `Campaigns`."""
        known = sorted(self._messages(company, campaign_id).items())
        return [one for one in known if after is None or one[0] > after][:limit]

    def _row(self, plan: Plan) -> PlanRow | None:
        """Return the plan if the claim still holds."""
        row = self._tables.plans[plan.campaign.company, plan.campaign.id]
        return row if row.epoch == plan.epoch and not row.ended else None

    def _messages(self, company: str, campaign_id: UUID) -> dict[UUID, State]:
        return self._tables.messages.setdefault((company, campaign_id), {})


class FakeContactPages:
    """Lists by company and name; away while `away` is set."""

    def __init__(self, lists: Mapping[tuple[str, str], Sequence[Recipient]]) -> None:
        self.lists = lists
        self.away = False

    async def page(
        self,
        company: str,
        list_name: str,
        after: UUID | None,
        limit: int,
    ) -> tuple[int, list[Recipient]]:
        """See `ContactPages`."""
        if self.away:
            raise TemporaryError("the contacts service does not answer")
        if (company, list_name) not in self.lists:
            raise NotFoundError("there is no such list")
        everyone = sorted(self.lists[company, list_name], key=lambda one: one.contact_id)
        return len(everyone), [one for one in everyone if after is None or one.contact_id > after][:limit]
