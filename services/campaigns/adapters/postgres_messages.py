"""Messages in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.commands import Owed, Result, Unsettled
from services.campaigns.domain import UNSETTLED, CampaignKey, MessageKey, State
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.campaigns.domain import Campaign, Move, Recipient
    from services.kit.database import Work

SQL = load_queries(Path(__file__).with_name("queries.sql"))
FIRST = UUID(int=0)
UNSETTLED_NUMBERS = [int(state) for state in UNSETTLED]


class PostgresMessages:
    """See `ports.Messages`."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `Messages`."""
        rows = await self._work.rows(
            SQL["messages_add"],
            message_ids=[recipient.message_id for recipient in recipients],
            contact_ids=[recipient.contact_id for recipient in recipients],
            run=campaign.run,
            **_of(campaign),
        )
        return {row.message_id for row in rows}

    async def hold(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, State]:
        """See `Messages`."""
        if not messages:
            return {}
        rows = await self._work.rows(SQL["messages_hold"], **_columns(messages))
        return {
            MessageKey(CampaignKey(row.company, row.campaign_id), row.message_id): State(row.state)
            for row in rows
        }

    async def move(self, moves: Sequence[Move]) -> None:
        """See `Messages`."""
        if moves:
            await self._work.run(
                SQL["messages_move"],
                **_columns([move.message for move in moves]),
                states=[int(move.after) for move in moves],
            )

    async def recall(self, campaign: CampaignKey, runs: Mapping[UUID, int], to: State) -> int:
        """See `Messages`."""
        return await self._work.run(
            SQL["messages_recall"],
            company=campaign.company,
            campaign_id=campaign.id,
            message_ids=list(runs),
            runs=list(runs.values()),
            state=int(to),
        )

    async def take_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `Messages`."""
        rows = await self._work.rows(
            SQL["messages_take"], contact_ids=list(contact_ids), run=campaign.run, **_of(campaign)
        )
        return {row.contact_id: row.message_id for row in rows}

    async def cancel_pending(self, company: str, campaign_id: UUID, most: int) -> int:
        """See `Messages`."""
        return await self._work.run(
            SQL["messages_cancel"], company=company, campaign_id=campaign_id, most=most
        )

    async def cancel_left(self, campaign: Campaign) -> int:
        """See `Messages`."""
        return await self._work.run(SQL["messages_left"], **_of(campaign))

    async def owed(self, campaign: Campaign) -> Owed:
        """See `Messages`."""
        row = await self._work.row(SQL["owed"], run=campaign.run, **_of(campaign))
        return Owed(bool(row and row.pending), bool(row and row.awaited))

    async def unsettled(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, Unsettled]:
        """See `Messages`."""
        rows = await self._work.rows(
            SQL["messages_of"], contact_ids=list(contact_ids), states=UNSETTLED_NUMBERS, **_of(campaign)
        )
        return {row.contact_id: Unsettled(row.message_id, row.run) for row in rows}

    async def page(self, company: str, campaign_id: UUID, after: UUID | None, limit: int) -> list[Result]:
        """See `Messages`."""
        rows = await self._work.rows(
            SQL["messages_page"], company=company, campaign_id=campaign_id, after=after or FIRST, most=limit
        )
        return [Result(row.message_id, row.contact_id, State(row.state), row.changed_at) for row in rows]


def _columns(messages: Sequence[MessageKey]) -> dict[str, list[object]]:
    return {
        "companies": [message.campaign.company for message in messages],
        "campaign_ids": [message.campaign.id for message in messages],
        "message_ids": [message.id for message in messages],
    }


def _of(campaign: Campaign) -> dict[str, object]:
    return {"company": campaign.company, "campaign_id": campaign.id}
