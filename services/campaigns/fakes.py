"""In-memory fakes of the ports, for tests of handlers.

The fake unit of work supports one transaction at a time; uncommitted changes are discarded, as in Postgres.
"""

from __future__ import annotations

import copy
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.campaigns.commands import (
    CampaignProgress,
    MessageResult,
    OutstandingWork,
    PlanLease,
    PlanningLoad,
    UnconfirmedMessage,
)
from services.campaigns.domain.lifecycle import RequestedState, effective_state
from services.campaigns.domain.model import UNCONFIRMED_STATES, MessageState
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.fakes import FakeInbox, FakeOutbox
from services.kit.observability import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from services.campaigns.commands import CampaignRecord
    from services.campaigns.domain.model import (
        Campaign,
        CampaignKey,
        MessageKey,
        Recipient,
        StateTransition,
    )
    from services.campaigns.domain.schedule_rules import Schedule, ScheduledTransition
    from services.campaigns.ports import CampaignRepository, MessageRepository, PlanRepository
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox

    Key = tuple[str, UUID]

MIN_DATETIME = datetime.min.replace(tzinfo=UTC)
"""Next check time of a campaign that is due at any time."""


@dataclass
class CampaignRow:
    """A stored campaign."""

    record: CampaignRecord
    campaign: Campaign
    requested_state: RequestedState
    status_reason: str | None = None
    next_check_at: datetime | None = MIN_DATETIME


@dataclass
class PlanRow:
    """A stored plan."""

    cursor: UUID | None = None
    epoch: int = 0
    lease_expires_at: float = 0.0
    ended: bool = False
    list_exhausted: bool = False
    failure: str | None = None
    total: int | None = None
    traceparent: str = ""


@dataclass
class MessageRow:
    """A stored message. A flag instead of a time marks messages returned since the current pass started."""

    contact_id: UUID
    run: int
    state: MessageState = MessageState.QUEUED
    returned_in_pass: bool = False


@dataclass
class Tables:
    """All stored rows."""

    campaigns: dict[Key, CampaignRow] = field(default_factory=dict)
    plans: dict[Key, PlanRow] = field(default_factory=dict)
    messages: dict[Key, dict[UUID, MessageRow]] = field(default_factory=dict)
    state_counts: dict[Key, dict[MessageState, int]] = field(default_factory=dict)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    inbox: FakeInbox = field(default_factory=FakeInbox)


class FakeUnitOfWorkFactory:
    """See `ports.UnitOfWorkFactory`."""

    def __init__(self) -> None:
        self.tables = Tables()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[FakeUnitOfWork]:
        """Begin a transaction on a copy of all rows."""
        yield FakeUnitOfWork(self)


class FakeUnitOfWork:
    """See `ports.UnitOfWork`."""

    def __init__(self, uow_factory: FakeUnitOfWorkFactory) -> None:
        self._uow_factory = uow_factory
        self._tables = copy.deepcopy(uow_factory.tables)
        self.campaigns: CampaignRepository = FakeCampaignRepository(self._tables)
        self.plans: PlanRepository = FakePlanRepository(self._tables)
        self.messages: MessageRepository = FakeMessageRepository(self._tables.messages)
        self.outbox: Outbox = self._tables.outbox
        self.inbox: Inbox = self._tables.inbox

    async def commit(self) -> None:
        """Store the changed copy."""
        self._uow_factory.tables = copy.deepcopy(self._tables)


class FakeCampaignRepository:
    """See `ports.CampaignRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, record: CampaignRecord) -> bool:
        """See `ports.CampaignRepository.add`."""
        if await self.find_by_idempotency_key(record.campaign.company, record.idempotency_key):
            return False
        row = CampaignRow(record, record.campaign, record.requested_state)
        self._tables.campaigns[record.campaign.key] = row
        return True

    async def find_by_idempotency_key(self, company: str, idempotency_key: str) -> tuple[UUID, bytes] | None:
        """See `ports.CampaignRepository.find_by_idempotency_key`."""
        for (owner, campaign_id), row in self._tables.campaigns.items():
            if (owner, row.record.idempotency_key) == (company, idempotency_key):
                return campaign_id, row.record.fingerprint
        return None

    async def lock(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """See `ports.CampaignRepository.lock`."""
        return await self.get_progress(company, campaign_id)

    async def update(self, campaign: Campaign, requested_state: RequestedState, schedule: Schedule) -> None:
        """See `ports.CampaignRepository.update`."""
        row = self._tables.campaigns[campaign.key]
        row.record = replace(row.record, schedule=schedule)
        await self.set_requested_state(campaign, requested_state)

    async def set_requested_state(self, campaign: Campaign, requested_state: RequestedState) -> None:
        """See `ports.CampaignRepository.set_requested_state`."""
        row = self._tables.campaigns[campaign.key]
        row.campaign, row.requested_state = campaign, requested_state
        row.status_reason, row.next_check_at = None, MIN_DATETIME

    async def apply_transition(self, campaign: Campaign, transition: ScheduledTransition) -> None:
        """See `ports.CampaignRepository.apply_transition`."""
        row = self._tables.campaigns[campaign.key]
        row.campaign = replace(campaign, window_closes_at=transition.window_closes_at)
        row.requested_state = transition.requested_state
        row.status_reason = transition.reason or row.status_reason
        row.next_check_at = transition.next_check_at

    async def lock_requested_state(self, campaign: CampaignKey) -> RequestedState | None:
        """See `ports.CampaignRepository.lock_requested_state`."""
        row = self._tables.campaigns.get(campaign)
        return row.requested_state if row else None

    async def lock_next_due(self, now: datetime) -> CampaignProgress | None:
        """See `ports.CampaignRepository.lock_next_due`."""
        due = [
            (row.next_check_at, key)
            for key, row in self._tables.campaigns.items()
            if row.next_check_at and row.next_check_at <= now
        ]
        return await self.get_progress(*min(due)[1]) if due else None

    async def add_counts(self, deltas: Mapping[CampaignKey, Mapping[MessageState, int]]) -> None:
        """See `ports.CampaignRepository.add_counts`."""
        for campaign, campaign_deltas in deltas.items():
            counts = self._tables.state_counts.setdefault(campaign, {})
            for state, delta in campaign_deltas.items():
                counts[state] = counts.get(state, 0) + delta

    async def get_progress(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """See `ports.CampaignRepository.get_progress`."""
        key = (company, campaign_id)
        row = self._tables.campaigns.get(key)
        if row is None:
            return None
        plan = self._tables.plans.get(key, PlanRow())
        counts = {state: count for state, count in self._tables.state_counts.get(key, {}).items() if count}
        planned = sum(counts.values())
        return CampaignProgress(
            campaign=row.campaign,
            state=effective_state(row.requested_state, plan.ended, plan.failure, counts),
            failure=plan.failure,
            planned=planned,
            total=planned if plan.ended else plan.total,
            counts=counts,
            requested_state=row.requested_state,
            schedule=row.record.schedule,
            status_reason=row.status_reason,
        )

    async def page(self, company: str, before: UUID | None, limit: int) -> list[CampaignProgress]:
        """See `ports.CampaignRepository.page`."""
        ids = sorted((key[1] for key in self._tables.campaigns if key[0] == company), reverse=True)
        selected = [campaign_id for campaign_id in ids if before is None or campaign_id < before]
        pages = [await self.get_progress(company, campaign_id) for campaign_id in selected[:limit]]
        return [progress for progress in pages if progress]

    async def with_unconfirmed_messages(self) -> Sequence[tuple[Campaign, RequestedState]]:
        """See `ports.CampaignRepository.with_unconfirmed_messages`."""
        states = {key: {row.state for row in rows.values()} for key, rows in self._tables.messages.items()}
        keys = sorted(key for key in states if states[key] & set(UNCONFIRMED_STATES))
        rows = [self._tables.campaigns[key] for key in keys]
        return [(row.campaign, row.requested_state) for row in rows]


class FakePlanRepository:
    """See `ports.PlanRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def start_or_resume(self, campaign: Campaign) -> None:
        """See `ports.PlanRepository.start_or_resume`."""
        row = self._tables.plans.setdefault(campaign.key, PlanRow())
        row.list_exhausted = row.list_exhausted or row.ended
        row.cursor = None if row.list_exhausted else row.cursor
        row.ended, row.lease_expires_at, row.epoch = False, 0.0, row.epoch + 1
        row.traceparent = tracing.current_traceparent()

    async def suspend(self, campaign: Campaign) -> None:
        """See `ports.PlanRepository.suspend`."""
        row = self._tables.plans.get(campaign.key)
        if row is not None and not row.ended:
            row.lease_expires_at, row.epoch = float("inf"), row.epoch + 1

    async def claim(self, lease_seconds: float) -> PlanLease | None:
        """See `ports.PlanRepository.claim`."""
        now = time.monotonic()
        waiting = [
            key for key, row in self._tables.plans.items() if not row.ended and row.lease_expires_at <= now
        ]
        if not waiting:
            return None
        key = min(waiting, key=lambda key: self._tables.plans[key].lease_expires_at)
        row, campaign = self._tables.plans[key], self._tables.campaigns[key].campaign
        row.epoch, row.lease_expires_at = row.epoch + 1, now + lease_seconds
        return PlanLease(campaign, row.cursor, row.epoch, row.list_exhausted, row.traceparent)

    async def advance(self, plan: PlanLease, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `ports.PlanRepository.advance`."""
        row = self._leased_row(plan)
        if row is not None:
            row.cursor, row.lease_expires_at = cursor, time.monotonic() + lease_seconds
        return row is not None

    async def finish(self, plan: PlanLease, failure: str | None) -> bool:
        """See `ports.PlanRepository.finish`."""
        row = self._leased_row(plan)
        if row is not None:
            row.ended, row.failure = True, failure
        return row is not None

    async def start_pass(self, plan: PlanLease) -> bool:
        """See `ports.PlanRepository.start_pass`."""
        for message in self._tables.messages.get(plan.campaign.key, {}).values():
            message.returned_in_pass = False
        return self._leased_row(plan) is not None

    async def schedule_pass(self, plan: PlanLease, delay_seconds: float) -> bool:
        """See `ports.PlanRepository.schedule_pass`."""
        row = self._leased_row(plan)
        if row is not None:
            row.cursor, row.list_exhausted = None, True
            row.lease_expires_at = time.monotonic() + delay_seconds
        return row is not None

    async def load(self) -> PlanningLoad:
        """See `ports.PlanRepository.load`; fakes keep no time."""
        return PlanningLoad(sum(not row.ended for row in self._tables.plans.values()), 0.0)

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `ports.PlanRepository.set_total`."""
        self._tables.plans[campaign.key].total = total

    def _leased_row(self, plan: PlanLease) -> PlanRow | None:
        """Return the plan if the lease is valid."""
        row = self._tables.plans[plan.campaign.key]
        return row if row.epoch == plan.epoch and not row.ended else None


class FakeMessageRepository:
    """See `ports.MessageRepository`."""

    def __init__(self, messages: dict[Key, dict[UUID, MessageRow]]) -> None:
        self._messages = messages

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `ports.MessageRepository.add`."""
        rows = self._rows(*campaign.key)
        known_contacts = {row.contact_id for row in rows.values()}
        new = {
            recipient.message_id: MessageRow(recipient.contact_id, campaign.run)
            for recipient in recipients
            if recipient.contact_id not in known_contacts
        }
        rows.update(new)
        return set(new)

    async def lock(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, MessageState]:
        """See `ports.MessageRepository.lock`."""
        rows = {message: self._rows(*message.campaign).get(message.id) for message in messages}
        return {message: row.state for message, row in rows.items() if row}

    async def update_states(self, transitions: Sequence[StateTransition]) -> None:
        """See `ports.MessageRepository.update_states`."""
        for transition in transitions:
            self._rows(*transition.message.campaign)[transition.message.id].state = transition.after

    async def return_unsent(
        self, campaign: CampaignKey, runs: Mapping[UUID, int], state: MessageState
    ) -> int:
        """See `ports.MessageRepository.return_unsent`."""
        rows = [(row, runs.get(key)) for key, row in self._rows(*campaign).items()]
        returned = [row for row, run in rows if row.state is MessageState.QUEUED and row.run == run]
        for row in returned:
            row.state, row.returned_in_pass = state, True
        return len(returned)

    async def requeue_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `ports.MessageRepository.requeue_pending`."""
        requeued = {}
        for key, row in self._rows(*campaign.key).items():
            if row.state is MessageState.PENDING and row.contact_id in contact_ids:
                row.state, row.run = MessageState.QUEUED, campaign.run
                requeued[row.contact_id] = key
        return requeued

    async def cancel_pending(self, company: str, campaign_id: UUID, limit: int) -> int:
        """See `ports.MessageRepository.cancel_pending`."""
        rows = sorted(self._rows(company, campaign_id).items())
        return _cancel([row for _, row in rows if row.state is MessageState.PENDING][:limit])

    async def cancel_orphaned(self, campaign: Campaign) -> int:
        """See `ports.MessageRepository.cancel_orphaned`."""
        rows = self._rows(*campaign.key).values()
        return _cancel(
            [row for row in rows if row.state is MessageState.PENDING and not row.returned_in_pass]
        )

    async def outstanding_work(self, plan: PlanLease) -> OutstandingWork:
        """See `ports.MessageRepository.outstanding_work`."""
        campaign, rows = plan.campaign, self._rows(*plan.campaign.key).values()
        return OutstandingWork(
            to_requeue=any(row.state is MessageState.PENDING for row in rows),
            in_flight=any(row.state is MessageState.QUEUED and row.run < campaign.run for row in rows),
        )

    async def find_unconfirmed(
        self, campaign: Campaign, contact_ids: Sequence[UUID]
    ) -> Mapping[UUID, UnconfirmedMessage]:
        """See `ports.MessageRepository.find_unconfirmed`."""
        return {
            row.contact_id: UnconfirmedMessage(key, row.run)
            for key, row in self._rows(*campaign.key).items()
            if row.contact_id in contact_ids and row.state in UNCONFIRMED_STATES
        }

    async def page(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[MessageResult]:
        """See `ports.MessageRepository.page`."""
        rows = sorted(self._rows(company, campaign_id).items())
        selected = [(key, row) for key, row in rows if after is None or key > after][:limit]
        return [MessageResult(key, row.contact_id, row.state, None) for key, row in selected]

    def _rows(self, company: str, campaign_id: UUID) -> dict[UUID, MessageRow]:
        return self._messages.setdefault((company, campaign_id), {})


def _cancel(rows: Sequence[MessageRow]) -> int:
    for row in rows:
        row.state = MessageState.CANCELLED
    return len(rows)


class FakeContactsClient:
    """Returns lists by company and name; raises TemporaryError while `unavailable` is set."""

    def __init__(self, lists: Mapping[tuple[str, str], Sequence[Recipient]]) -> None:
        self.lists = lists
        self.unavailable = False

    async def fetch_page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """See `ports.ContactsClient.fetch_page`."""
        if self.unavailable:
            raise TemporaryError("the contacts service does not respond")
        if (company, list_name) not in self.lists:
            raise NotFoundError("there is no such list")
        recipients = sorted(self.lists[company, list_name], key=lambda recipient: recipient.contact_id)
        page = [recipient for recipient in recipients if after is None or recipient.contact_id > after]
        return len(recipients), page[:limit]
