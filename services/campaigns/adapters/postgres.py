"""Campaigns in Postgres, and the unit of work around them, their plans and their messages."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.campaigns.adapters.postgres_messages import UNSETTLED_NUMBERS, PostgresMessages
from services.campaigns.adapters.postgres_plans import PostgresPlans
from services.campaigns.adapters.rows import campaign_of, progress_of, window_text
from services.campaigns.domain import State
from services.campaigns.lifecycle import Status
from services.kit.inbox import PostgresInbox
from services.kit.outbox import PostgresOutbox
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Row

    from services.campaigns.commands import NewCampaign, Progress
    from services.campaigns.domain import Campaign, CampaignKey
    from services.campaigns.ports import Campaigns, Messages, Plans
    from services.campaigns.timetable import Times, Turn
    from services.kit.database import Database, Work
    from services.kit.inbox import Inbox
    from services.kit.outbox import Outbox

SQL = load_queries(Path(__file__).with_name("queries.sql"))
LAST = UUID(int=(1 << 128) - 1)


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
        self.plans: Plans = PostgresPlans(work)
        self.messages: Messages = PostgresMessages(work)
        self.outbox: Outbox = PostgresOutbox(work)
        self.inbox: Inbox = PostgresInbox(work)

    async def commit(self) -> None:
        """Make it happen."""
        await self._work.commit()


class PostgresCampaigns:
    """See `ports.Campaigns`."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def add(self, new: NewCampaign) -> bool:
        """See `Campaigns`."""
        columns = _columns(new.campaign, new.status, new.times)
        added = await self._work.run(SQL["campaign_add"], key=new.key, digest=new.digest, **columns)
        return added == 1

    async def by_key(self, company: str, key: str) -> tuple[UUID, bytes] | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["campaign_by_key"], company=company, key=key)
        return (row.id, bytes(row.digest)) if row else None

    async def hold(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        held = await self._work.row(SQL["campaign_hold"], company=company, id=campaign_id)
        return await self.progress(company, campaign_id) if held else None

    async def change(self, campaign: Campaign, status: Status, times: Times) -> None:
        """See `Campaigns`."""
        await self._work.run(SQL["campaign_change"], **_columns(campaign, status, times))

    async def ask(self, campaign: Campaign, status: Status) -> None:
        """See `Campaigns`."""
        await self._work.run(SQL["campaign_ask"], status=status.value, **_of(campaign))

    async def turn(self, campaign: Campaign, turn: Turn) -> None:
        """See `Campaigns`."""
        await self._work.run(
            SQL["campaign_turn"],
            status=turn.status.value,
            closes_at=turn.closes_at,
            next_at=turn.next_at,
            note=turn.note,
            **_of(campaign),
        )

    async def status(self, campaign: CampaignKey) -> Status | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["campaign_share"], **campaign._asdict())
        return Status(row.status) if row else None

    async def due(self, now: datetime) -> Progress | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["campaign_due"], now=now)
        return await self.progress(row.company, row.id) if row else None

    async def count(self, changes: Mapping[CampaignKey, Mapping[State, int]]) -> None:
        """See `Campaigns`."""
        lines = [(key, state, by) for key, of_it in changes.items() for state, by in of_it.items() if by]
        if lines:
            await self._work.run(
                SQL["counts_change"],
                companies=[key.company for key, _, _ in lines],
                campaign_ids=[key.id for key, _, _ in lines],
                states=[int(state) for _, state, _ in lines],
                changes=[by for _, _, by in lines],
            )

    async def progress(self, company: str, campaign_id: UUID) -> Progress | None:
        """See `Campaigns`."""
        row = await self._work.row(SQL["progress"], company=company, id=campaign_id)
        return (await self._progresses(company, [row]))[0] if row else None

    async def page(self, company: str, before: UUID | None, limit: int) -> list[Progress]:
        """See `Campaigns`."""
        rows = await self._work.rows(
            SQL["campaigns_page"], company=company, before=before or LAST, most=limit
        )
        return await self._progresses(company, rows)

    async def unsettled(self) -> Sequence[tuple[Campaign, Status]]:
        """See `Campaigns`."""
        rows = await self._work.rows(SQL["campaigns_unsettled"], states=UNSETTLED_NUMBERS)
        return [(campaign_of(row), Status(row.status)) for row in rows]

    async def _progresses(self, company: str, rows: Sequence[Row[Any]]) -> list[Progress]:
        """Add the counts to campaigns and plans."""
        ids = [row.id for row in rows]
        counts: dict[UUID, dict[State, int]] = defaultdict(dict)
        for one in await self._work.rows(SQL["counts_of"], company=company, ids=ids):
            counts[one.campaign_id][State(one.state)] = int(one.messages)
        return [progress_of(row, counts[row.id]) for row in rows]


def _columns(campaign: Campaign, status: Status, times: Times) -> dict[str, object]:
    """Return what people decided about a campaign, and what is asked of it."""
    return {
        "company": campaign.company,
        "id": campaign.id,
        "name": campaign.name,
        "list_name": campaign.list_name,
        "text": campaign.text,
        "connection": campaign.connection,
        "status": status.value,
        "start_at": times.start_at,
        "missed": times.missed.value,
        "send_window": window_text(times.window),
        "expires_at": times.expires_at,
        "more_texts": list(campaign.more_texts),
        "variables": json.dumps(dict(campaign.variables)),
    }


def _of(campaign: Campaign) -> dict[str, object]:
    """Return which campaign is changed, and its run."""
    return {"company": campaign.company, "id": campaign.id, "run": campaign.run}
