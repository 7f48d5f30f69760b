"""Campaigns, plans and messages in Postgres."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.campaigns.commands import Plan, Progress
from services.campaigns.domain import UNSETTLED, Campaign, State, stage_of
from services.kit.inbox import PostgresInbox
from services.kit.outbox import PostgresOutbox
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sqlalchemy import Row

    from services.campaigns.domain import Move, Recipient
    from services.campaigns.ports import Campaigns
    from services.kit.database import Database, Work
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox

SQL = load_queries(Path(__file__).with_name("queries.sql"))
FIRST = UUID(int=0)
_UNSETTLED = [int(state) for state in UNSETTLED]


class PostgresUnits:
    """See `ports.Units`.

    Args:
        database: where they are.
        reading: whether nothing is written in them, so that a standby will do while the primary is away.
    """

    def __init__(self, database: Database, *, reading: bool = False) -> None:
        self._begin = database.reading if reading else database.work

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresUnit]:
        """Begin a transaction."""
        async with self._begin() as work:
            yield PostgresUnit(work)


class PostgresUnit:
    """See `ports.Unit`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.campaigns: Campaigns = PostgresCampaigns(work)
        self.outbox: Outbox = PostgresOutbox(work)
        self.inbox: Inbox = PostgresInbox(work)

    async def commit(self) -> None:
        """Make it happen."""
        await self._work.commit()


class PostgresCampaigns:
    """See `ports.Campaigns`."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def add(self, campaign: Campaign, key: str, digest: bytes) -> bool:
        """See `Campaigns`."""
        added = await self._work.run(
            SQL["campaign_add"],
            company=campaign.company,
            id=campaign.id,
            key=key,
            digest=digest,
            name=campaign.name,
            list_name=campaign.list_name,
            text=campaign.text,
            connection=campaign.connection,
        )
        if added:
            await self._work.run(SQL["plan_add"], company=campaign.company, id=campaign.id)
        return added == 1

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["campaign_by_key"], company=company, key=key)
        return (row.id, bytes(row.digest)) if row else None

    async def claim_plan(self, lease_seconds: float) -> Plan | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["plan_claim"], seconds=lease_seconds)
        return Plan(_campaign(row), row.cursor, row.epoch) if row else None

    async def hold_plan(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `Campaigns`."""
        held = await self._work.run(SQL["plan_hold"], cursor=cursor, seconds=lease_seconds, **_key(plan))
        return held == 1

    async def end_plan(self, plan: Plan, failure: str | None) -> bool:
        """See `Campaigns`."""
        return await self._work.run(SQL["plan_end"], failure=failure, **_key(plan)) == 1

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `Campaigns`."""
        await self._work.run(
            SQL["plan_total"], company=campaign.company, campaign_id=campaign.id, total=total
        )

    async def add_recipients(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `Campaigns`."""
        rows = await self._work.rows(
            SQL["messages_add"],
            company=campaign.company,
            campaign_id=campaign.id,
            message_ids=[recipient.message_id for recipient in recipients],
            contact_ids=[recipient.contact_id for recipient in recipients],
        )
        return {row.message_id for row in rows}

    async def hold_messages(
        self, company: str, campaign_id: UUID, message_ids: Sequence[UUID]
    ) -> Mapping[UUID, State]:
        """See `Campaigns`."""
        rows = await self._work.rows(
            SQL["messages_hold"], company=company, campaign_id=campaign_id, message_ids=message_ids
        )
        return {row.message_id: State(row.state) for row in rows}

    async def move_messages(self, company: str, campaign_id: UUID, moves: Sequence[Move]) -> None:
        """See `Campaigns`."""
        await self._work.run(
            SQL["messages_move"],
            company=company,
            campaign_id=campaign_id,
            message_ids=[move.message_id for move in moves],
            states=[int(move.after) for move in moves],
        )

    async def count(self, company: str, campaign_id: UUID, changes: Mapping[State, int]) -> None:
        """See `Campaigns`."""
        await self._work.run(
            SQL["counts_change"],
            company=company,
            campaign_id=campaign_id,
            states=[int(state) for state in changes],
            changes=list(changes.values()),
        )

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["progress"], company=company, id=campaign_id)
        if row is None:
            return None
        rows = await self._work.rows(SQL["counts_read"], company=company, id=campaign_id)
        counts = {State(one.state): int(one.messages) for one in rows}
        planned = sum(counts.values())
        return Progress(
            campaign=_campaign(row),
            stage=stage_of(row.planned, row.failure, counts),
            failure=row.failure,
            planned=planned,
            total=planned if row.planned else row.total,
            counts=counts,
        )

    async def unsettled(self) -> Sequence[Campaign]:
        """See `Campaigns`."""
        rows = await self._work.rows(SQL["campaigns_unsettled"], states=_UNSETTLED)
        return [_campaign(row) for row in rows]

    async def unsettled_of(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `Campaigns`."""
        rows = await self._work.rows(
            SQL["messages_of"],
            company=campaign.company,
            campaign_id=campaign.id,
            contact_ids=list(contact_ids),
            states=_UNSETTLED,
        )
        return {row.contact_id: row.message_id for row in rows}

    async def messages(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[tuple[UUID, State]]:
        """See `Campaigns`."""
        rows = await self._work.rows(
            SQL["messages_page"], company=company, campaign_id=campaign_id, after=after or FIRST, most=limit
        )
        return [(row.message_id, State(row.state)) for row in rows]


def _campaign(row: Row[Any]) -> Campaign:
    """Read a campaign's columns."""
    return Campaign(row.company, row.id, row.name, row.list_name, row.text, row.connection)


def _key(plan: Plan) -> dict[str, object]:
    """Return what a plan is found by while the claim lasts."""
    return {"company": plan.campaign.company, "campaign_id": plan.campaign.id, "epoch": plan.epoch}
