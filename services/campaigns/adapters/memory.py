"""Campaigns and the contacts service in memory, for tests of handlers.

One transaction at a time; what is not committed is forgotten, as in Postgres.
"""

from __future__ import annotations

import copy
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.campaigns.adapters.memory_messages import FakeMessages, MessageRow
from services.campaigns.commands import Plan, Progress
from services.campaigns.domain import UNSETTLED
from services.campaigns.lifecycle import Status, stage_of
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.fakes import FakeInbox, FakeOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from services.campaigns.commands import NewCampaign
    from services.campaigns.domain import Campaign, CampaignKey, Recipient, State
    from services.campaigns.ports import Campaigns, Messages, Plans
    from services.campaigns.timetable import Times, Turn
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox

    Key = tuple[str, UUID]

EVER = datetime.min.replace(tzinfo=UTC)
"""To be looked at, whatever the time."""


@dataclass
class CampaignRow:
    """A campaign as it is stored."""

    new: NewCampaign
    campaign: Campaign
    status: Status
    note: str | None = None
    next_at: datetime | None = EVER


@dataclass
class PlanRow:
    """A plan as it is stored."""

    cursor: UUID | None = None
    epoch: int = 0
    leased_until: float = 0.0
    ended: bool = False
    complete: bool = False
    failure: str | None = None
    total: int | None = None


@dataclass
class Tables:
    """Everything that is stored."""

    campaigns: dict[Key, CampaignRow] = field(default_factory=dict)
    plans: dict[Key, PlanRow] = field(default_factory=dict)
    messages: dict[Key, dict[UUID, MessageRow]] = field(default_factory=dict)
    counts: dict[Key, dict[State, int]] = field(default_factory=dict)
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
        self.plans: Plans = FakePlans(self._tables)
        self.messages: Messages = FakeMessages(self._tables.messages)
        self.outbox: Outbox = self._tables.outbox
        self.inbox: Inbox = self._tables.inbox

    async def commit(self) -> None:
        """Make the copy the truth."""
        self._units.tables = copy.deepcopy(self._tables)


class FakeCampaigns:
    """See `ports.Campaigns`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, new: NewCampaign) -> bool:
        """See `Campaigns`."""
        if await self.by_key(new.campaign.company, new.key):
            return False
        row = CampaignRow(new, new.campaign, new.status)
        self._tables.campaigns[new.campaign.company, new.campaign.id] = row
        return True

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """See `Campaigns`."""
        for (owner, campaign_id), row in self._tables.campaigns.items():
            if (owner, row.new.key) == (company, key):
                return campaign_id, row.new.digest
        return None

    async def hold(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        return await self.progress(company, campaign_id)

    async def change(self, campaign: Campaign, status: Status, times: Times) -> None:
        """See `Campaigns`."""
        row = self._tables.campaigns[campaign.company, campaign.id]
        row.new = replace(row.new, times=times)
        row.campaign, row.status, row.note, row.next_at = campaign, status, None, EVER

    async def ask(self, campaign: Campaign, status: Status) -> None:
        """See `Campaigns`."""
        row = self._tables.campaigns[campaign.company, campaign.id]
        row.campaign, row.status, row.note, row.next_at = campaign, status, None, EVER

    async def turn(self, campaign: Campaign, turn: Turn) -> None:
        """See `Campaigns`."""
        row = self._tables.campaigns[campaign.company, campaign.id]
        row.campaign, row.status = replace(campaign, closes_at=turn.closes_at), turn.status
        row.note, row.next_at = turn.note or row.note, turn.next_at

    async def status(self, campaign: CampaignKey) -> Status | None:
        """See `Campaigns`."""
        row = self._tables.campaigns.get(campaign)
        return row.status if row else None

    async def due(self, now: datetime) -> Progress | None:
        """See `Campaigns`."""
        due = [
            (row.next_at, key)
            for key, row in self._tables.campaigns.items()
            if row.next_at and row.next_at <= now
        ]
        return await self.progress(*min(due)[1]) if due else None

    async def count(self, changes: Mapping[CampaignKey, Mapping[State, int]]) -> None:
        """See `Campaigns`."""
        for campaign, of_it in changes.items():
            counts = self._tables.counts.setdefault(campaign, {})
            for state, change in of_it.items():
                counts[state] = counts.get(state, 0) + change

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        row = self._tables.campaigns.get((company, campaign_id))
        if row is None:
            return None
        plan = self._tables.plans.get((company, campaign_id), PlanRow())
        counts = {state: n for state, n in self._tables.counts.get((company, campaign_id), {}).items() if n}
        planned, stage = sum(counts.values()), stage_of(row.status, plan.ended, plan.failure, counts)
        total = planned if plan.ended else plan.total
        return Progress(
            row.campaign, stage, plan.failure, planned, total, counts, row.status, row.new.times, row.note
        )

    async def page(self, company: str, before: UUID | None, limit: int) -> list[Progress]:
        """See `Campaigns`."""
        ids = sorted((key[1] for key in self._tables.campaigns if key[0] == company), reverse=True)
        wanted = [one for one in ids if before is None or one < before][:limit]
        return [found for one in wanted if (found := await self.progress(company, one))]

    async def unsettled(self) -> Sequence[tuple[Campaign, Status]]:
        """See `Campaigns`."""
        found = [
            key
            for key, known in self._tables.messages.items()
            if {one.state for one in known.values()} & set(UNSETTLED)
        ]
        rows = [self._tables.campaigns[key] for key in sorted(found)]
        return [(row.campaign, row.status) for row in rows]


class FakePlans:
    """See `ports.Plans`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def open(self, campaign: Campaign) -> None:
        """See `Plans`."""
        row = self._tables.plans.setdefault((campaign.company, campaign.id), PlanRow())
        row.complete = row.complete or row.ended
        row.cursor = None if row.complete else row.cursor
        row.ended, row.leased_until, row.epoch = False, 0.0, row.epoch + 1

    async def park(self, campaign: Campaign) -> None:
        """See `Plans`."""
        row = self._tables.plans.get((campaign.company, campaign.id))
        if row is not None and not row.ended:
            row.leased_until, row.epoch = float("inf"), row.epoch + 1

    async def claim(self, lease_seconds: float) -> Plan | None:
        """See `Plans`."""
        now = time.monotonic()
        waiting = [
            key for key, row in self._tables.plans.items() if not row.ended and row.leased_until <= now
        ]
        if not waiting:
            return None
        key = min(waiting, key=lambda one: self._tables.plans[one].leased_until)
        row, campaign = self._tables.plans[key], self._tables.campaigns[key].campaign
        row.epoch, row.leased_until = row.epoch + 1, now + lease_seconds
        return Plan(campaign, row.cursor, row.epoch, row.complete)

    async def hold(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `Plans`."""
        row = self._row(plan)
        if row is not None:
            row.cursor, row.leased_until = cursor, time.monotonic() + lease_seconds
        return row is not None

    async def end(self, plan: Plan, failure: str | None) -> bool:
        """See `Plans`."""
        row = self._row(plan)
        if row is not None:
            row.ended, row.failure = True, failure
        return row is not None

    async def begin_walk(self, plan: Plan) -> bool:
        """See `Plans`."""
        for message in self._tables.messages.get((plan.campaign.company, plan.campaign.id), {}).values():
            message.came_back_in_walk = False
        return self._row(plan) is not None

    async def walk_again(self, plan: Plan, pause_seconds: float) -> bool:
        """See `Plans`."""
        row = self._row(plan)
        if row is not None:
            row.cursor, row.complete, row.leased_until = None, True, time.monotonic() + pause_seconds
        return row is not None

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `Plans`."""
        self._tables.plans[campaign.company, campaign.id].total = total

    def _row(self, plan: Plan) -> PlanRow | None:
        """Return the plan if the claim still holds."""
        row = self._tables.plans[plan.campaign.company, plan.campaign.id]
        return row if row.epoch == plan.epoch and not row.ended else None


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
