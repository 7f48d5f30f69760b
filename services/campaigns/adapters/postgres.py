"""Campaigns in Postgres, and the unit of work of campaigns, plans and messages."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.campaigns.adapters.postgres_messages import (
    UNCONFIRMED_STATE_NUMBERS,
    PostgresMessageRepository,
)
from services.campaigns.adapters.postgres_plans import PostgresPlanRepository
from services.campaigns.adapters.row_mappers import campaign_from_row, progress_from_row, window_to_json
from services.campaigns.domain.lifecycle import RequestedState
from services.campaigns.domain.model import MessageState
from services.kit.postgres.inbox import PostgresInbox
from services.kit.postgres.named_queries import load_queries
from services.kit.postgres.outbox import PostgresOutbox
from services.kit.postgres.unit_of_work import TransactionalFactory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row

    from services.campaigns.commands import CampaignProgress, CampaignRecord
    from services.campaigns.domain.model import Campaign, CampaignKey
    from services.campaigns.domain.schedule_rules import Schedule, ScheduledTransition
    from services.campaigns.ports import CampaignRepository, MessageRepository, PlanRepository
    from services.kit.postgres.database import Transaction
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox

SQL = load_queries(Path(__file__).with_name("queries.sql"))
MAX_UUID = UUID(int=(1 << 128) - 1)


class PostgresUnitOfWork:
    """See `ports.UnitOfWork`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.campaigns: CampaignRepository = PostgresCampaignRepository(transaction)
        self.plans: PlanRepository = PostgresPlanRepository(transaction)
        self.messages: MessageRepository = PostgresMessageRepository(transaction)
        self.outbox: Outbox = PostgresOutbox(transaction)
        self.inbox: Inbox = PostgresInbox(transaction)

    async def commit(self) -> None:
        """Commit the transaction."""
        await self._transaction.commit()


class PostgresUnitOfWorkFactory(TransactionalFactory[PostgresUnitOfWork]):
    """See `ports.UnitOfWorkFactory`."""

    def bind(self, transaction: Transaction) -> PostgresUnitOfWork:
        """Return the repositories in a transaction."""
        return PostgresUnitOfWork(transaction)


class PostgresCampaignRepository:
    """See `ports.CampaignRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, record: CampaignRecord) -> bool:
        """See `ports.CampaignRepository.add`."""
        added = await self._transaction.execute(
            SQL["add_campaign"],
            idempotency_key=record.idempotency_key,
            fingerprint=record.fingerprint,
            **_columns(record.campaign, record.requested_state, record.schedule),
        )
        return added == 1

    async def find_by_idempotency_key(self, company: str, idempotency_key: str) -> tuple[UUID, bytes] | None:
        """See `ports.CampaignRepository.find_by_idempotency_key`."""
        row = await self._transaction.fetch_one(
            SQL["find_campaign_by_idempotency_key"], company=company, idempotency_key=idempotency_key
        )
        return (row.id, bytes(row.fingerprint)) if row else None

    async def lock(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """See `ports.CampaignRepository.lock`."""
        row = await self._transaction.fetch_one(SQL["lock_campaign"], company=company, id=campaign_id)
        return await self.get_progress(company, campaign_id) if row else None

    async def update(self, campaign: Campaign, requested_state: RequestedState, schedule: Schedule) -> None:
        """See `ports.CampaignRepository.update`."""
        await self._transaction.execute(
            SQL["update_campaign"], **_columns(campaign, requested_state, schedule)
        )

    async def set_requested_state(self, campaign: Campaign, requested_state: RequestedState) -> None:
        """See `ports.CampaignRepository.set_requested_state`."""
        await self._transaction.execute(
            SQL["set_requested_state"], requested_state=requested_state.value, **_key_and_run(campaign)
        )

    async def apply_transition(self, campaign: Campaign, transition: ScheduledTransition) -> None:
        """See `ports.CampaignRepository.apply_transition`."""
        await self._transaction.execute(
            SQL["apply_transition"],
            requested_state=transition.requested_state.value,
            window_closes_at=transition.window_closes_at,
            next_check_at=transition.next_check_at,
            reason=transition.reason,
            **_key_and_run(campaign),
        )

    async def lock_requested_state(self, campaign: CampaignKey) -> RequestedState | None:
        """See `ports.CampaignRepository.lock_requested_state`."""
        row = await self._transaction.fetch_one(SQL["lock_requested_state"], **campaign._asdict())
        return RequestedState(row.requested_state) if row else None

    async def lock_next_due(self, now: datetime) -> CampaignProgress | None:
        """See `ports.CampaignRepository.lock_next_due`."""
        row = await self._transaction.fetch_one(SQL["lock_next_due_campaign"], now=now)
        return await self.get_progress(row.company, row.id) if row else None

    async def add_counts(self, deltas: Mapping[CampaignKey, Mapping[MessageState, int]]) -> None:
        """See `ports.CampaignRepository.add_counts`."""
        rows = [
            (key, state, delta)
            for key, campaign_deltas in deltas.items()
            for state, delta in campaign_deltas.items()
            if delta
        ]
        if rows:
            await self._transaction.execute(
                SQL["add_state_count_deltas"],
                companies=[key.company for key, _, _ in rows],
                campaign_ids=[key.id for key, _, _ in rows],
                states=[int(state) for _, state, _ in rows],
                deltas=[delta for _, _, delta in rows],
            )

    async def get_progress(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """See `ports.CampaignRepository.get_progress`."""
        row = await self._transaction.fetch_one(SQL["campaign_progress"], company=company, id=campaign_id)
        return (await self._with_counts(company, [row]))[0] if row else None

    async def page(self, company: str, before: UUID | None, limit: int) -> list[CampaignProgress]:
        """See `ports.CampaignRepository.page`."""
        rows = await self._transaction.fetch_all(
            SQL["campaigns_page"], company=company, before=before or MAX_UUID, limit=limit
        )
        return await self._with_counts(company, rows)

    async def with_unconfirmed_messages(self) -> Sequence[tuple[Campaign, RequestedState]]:
        """See `ports.CampaignRepository.with_unconfirmed_messages`."""
        rows = await self._transaction.fetch_all(
            SQL["campaigns_with_unconfirmed_messages"], states=UNCONFIRMED_STATE_NUMBERS
        )
        return [(campaign_from_row(row), RequestedState(row.requested_state)) for row in rows]

    async def _with_counts(self, company: str, rows: Sequence[Row[Any]]) -> list[CampaignProgress]:
        """Add the counts to campaigns and plans."""
        ids = [row.id for row in rows]
        counts: dict[UUID, dict[MessageState, int]] = defaultdict(dict)
        for row in await self._transaction.fetch_all(SQL["state_counts"], company=company, ids=ids):
            counts[row.campaign_id][MessageState(row.state)] = int(row.messages)
        return [progress_from_row(row, counts[row.id]) for row in rows]


def _columns(campaign: Campaign, requested_state: RequestedState, schedule: Schedule) -> dict[str, object]:
    """Return the editable columns of a campaign and its requested state."""
    return {
        "company": campaign.company,
        "id": campaign.id,
        "name": campaign.name,
        "list_name": campaign.list_name,
        "text": campaign.text,
        "text_variants": list(campaign.text_variants),
        "variables": json.dumps(dict(campaign.variables)),
        "connection": campaign.connection,
        "requested_state": requested_state.value,
        "start_at": schedule.start_at,
        "missed_start_policy": schedule.missed_start_policy.value,
        "send_window": window_to_json(schedule.window),
        "expires_at": schedule.expires_at,
    }


def _key_and_run(campaign: Campaign) -> dict[str, object]:
    return {"company": campaign.company, "id": campaign.id, "run": campaign.run}
