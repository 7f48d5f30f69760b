"""Messages of campaigns in memory, for tests of handlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.campaigns.commands import Owed, Result, Unsettled
from services.campaigns.domain import UNSETTLED, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from services.campaigns.domain import Campaign, CampaignKey, MessageKey, Move, Recipient


@dataclass
class MessageRow:
    """A message as it is stored. What came back since the last walk began is remembered instead of a time."""

    contact_id: UUID
    run: int
    state: State = State.QUEUED
    came_back_in_walk: bool = False


class FakeMessages:
    """See `ports.Messages`."""

    def __init__(self, tables: dict[tuple[str, UUID], dict[UUID, MessageRow]]) -> None:
        self._tables = tables

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `Messages`."""
        known = self._of(campaign.company, campaign.id)
        have = {row.contact_id for row in known.values()}
        new = {one.message_id: MessageRow(one.contact_id, campaign.run) for one in recipients}
        new = {key: row for key, row in new.items() if row.contact_id not in have}
        known.update(new)
        return set(new)

    async def hold(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, State]:
        """See `Messages`."""
        rows = {message: self._of(*message.campaign).get(message.id) for message in messages}
        return {message: row.state for message, row in rows.items() if row}

    async def move(self, moves: Sequence[Move]) -> None:
        """See `Messages`."""
        for move in moves:
            self._of(*move.message.campaign)[move.message.id].state = move.after

    async def recall(self, campaign: CampaignKey, runs: Mapping[UUID, int], to: State) -> int:
        """See `Messages`."""
        rows = [(row, runs.get(key)) for key, row in self._of(*campaign).items()]
        back = [row for row, run in rows if row.state is State.QUEUED and row.run == run]
        for row in back:
            row.state, row.came_back_in_walk = to, True
        return len(back)

    async def take_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `Messages`."""
        taken = {}
        for key, row in self._of(campaign.company, campaign.id).items():
            if row.state is State.PENDING and row.contact_id in contact_ids:
                row.state, row.run = State.QUEUED, campaign.run
                taken[row.contact_id] = key
        return taken

    async def cancel_pending(self, company: str, campaign_id: UUID, most: int) -> int:
        """See `Messages`."""
        known = self._of(company, campaign_id)
        return _cancel([row for _, row in sorted(known.items()) if row.state is State.PENDING][:most])

    async def cancel_left(self, campaign: Campaign) -> int:
        """See `Messages`."""
        rows = self._of(campaign.company, campaign.id).values()
        return _cancel([row for row in rows if row.state is State.PENDING and not row.came_back_in_walk])

    async def owed(self, campaign: Campaign) -> Owed:
        """See `Messages`."""
        rows = self._of(campaign.company, campaign.id).values()
        return Owed(
            pending=any(row.state is State.PENDING for row in rows),
            awaited=any(row.state is State.QUEUED and row.run < campaign.run for row in rows),
        )

    async def unsettled(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, Unsettled]:
        """See `Messages`."""
        return {
            row.contact_id: Unsettled(key, row.run)
            for key, row in self._of(campaign.company, campaign.id).items()
            if row.contact_id in contact_ids and row.state in UNSETTLED
        }

    async def page(self, company: str, campaign_id: UUID, after: UUID | None, limit: int) -> list[Result]:
        """See `Messages`."""
        known = sorted(self._of(company, campaign_id).items())
        wanted = [one for one in known if after is None or one[0] > after][:limit]
        return [Result(key, row.contact_id, row.state, None) for key, row in wanted]

    def _of(self, company: str, campaign_id: UUID) -> dict[UUID, MessageRow]:
        return self._tables.setdefault((company, campaign_id), {})


def _cancel(rows: Sequence[MessageRow]) -> int:
    for row in rows:
        row.state = State.CANCELLED
    return len(rows)
