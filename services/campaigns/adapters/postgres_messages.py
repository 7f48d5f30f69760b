"""Messages in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.commands import MessageResult, OutstandingWork, UnconfirmedMessage
from services.campaigns.domain.model import UNCONFIRMED_STATES, CampaignKey, MessageKey, MessageState
from services.kit.postgres.named_queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.campaigns.commands import PlanLease
    from services.campaigns.domain.model import Campaign, Recipient, StateTransition
    from services.kit.postgres.database import Transaction

SQL = load_queries(Path(__file__).with_name("queries.sql"))
MIN_UUID = UUID(int=0)
UNCONFIRMED_STATE_NUMBERS = [int(state) for state in UNCONFIRMED_STATES]


class PostgresMessageRepository:
    """See `ports.MessageRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """See `ports.MessageRepository.add`."""
        rows = await self._transaction.fetch_all(
            SQL["add_messages"],
            message_ids=[recipient.message_id for recipient in recipients],
            contact_ids=[recipient.contact_id for recipient in recipients],
            run=campaign.run,
            **_key(campaign),
        )
        return {row.message_id for row in rows}

    async def lock(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, MessageState]:
        """See `ports.MessageRepository.lock`."""
        if not messages:
            return {}
        rows = await self._transaction.fetch_all(SQL["lock_messages"], **_columns(messages))
        return {
            MessageKey(CampaignKey(row.company, row.campaign_id), row.message_id): MessageState(row.state)
            for row in rows
        }

    async def update_states(self, transitions: Sequence[StateTransition]) -> None:
        """See `ports.MessageRepository.update_states`."""
        if transitions:
            await self._transaction.execute(
                SQL["update_message_states"],
                **_columns([transition.message for transition in transitions]),
                states=[int(transition.after) for transition in transitions],
            )

    async def return_unsent(
        self, campaign: CampaignKey, runs: Mapping[UUID, int], state: MessageState
    ) -> int:
        """See `ports.MessageRepository.return_unsent`."""
        return await self._transaction.execute(
            SQL["return_unsent_messages"],
            company=campaign.company,
            campaign_id=campaign.id,
            message_ids=list(runs),
            runs=list(runs.values()),
            state=int(state),
        )

    async def requeue_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """See `ports.MessageRepository.requeue_pending`."""
        rows = await self._transaction.fetch_all(
            SQL["requeue_pending_messages"],
            contact_ids=list(contact_ids),
            run=campaign.run,
            **_key(campaign),
        )
        return {row.contact_id: row.message_id for row in rows}

    async def cancel_pending(self, company: str, campaign_id: UUID, limit: int) -> int:
        """See `ports.MessageRepository.cancel_pending`."""
        return await self._transaction.execute(
            SQL["cancel_pending_messages"], company=company, campaign_id=campaign_id, limit=limit
        )

    async def cancel_orphaned(self, campaign: Campaign) -> int:
        """See `ports.MessageRepository.cancel_orphaned`."""
        return await self._transaction.execute(SQL["cancel_orphaned_messages"], **_key(campaign))

    async def outstanding_work(self, plan: PlanLease) -> OutstandingWork:
        """See `ports.MessageRepository.outstanding_work`."""
        key = _key(plan.campaign)
        pending = await self._transaction.fetch_one(SQL["has_pending_messages"], **key)
        queued = await self._transaction.fetch_one(
            SQL["find_in_flight"], run=plan.campaign.run, epoch=plan.epoch, **key
        )
        return OutstandingWork(bool(pending and pending.to_requeue), bool(queued and queued.in_flight))

    async def find_unconfirmed(
        self, campaign: Campaign, contact_ids: Sequence[UUID]
    ) -> Mapping[UUID, UnconfirmedMessage]:
        """See `ports.MessageRepository.find_unconfirmed`."""
        rows = await self._transaction.fetch_all(
            SQL["find_messages_by_contacts"],
            contact_ids=list(contact_ids),
            states=UNCONFIRMED_STATE_NUMBERS,
            **_key(campaign),
        )
        return {row.contact_id: UnconfirmedMessage(row.message_id, row.run) for row in rows}

    async def page(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[MessageResult]:
        """See `ports.MessageRepository.page`."""
        rows = await self._transaction.fetch_all(
            SQL["messages_page"],
            company=company,
            campaign_id=campaign_id,
            after=after or MIN_UUID,
            limit=limit,
        )
        return [
            MessageResult(row.message_id, row.contact_id, MessageState(row.state), row.state_changed_at)
            for row in rows
        ]


def _columns(messages: Sequence[MessageKey]) -> dict[str, list[object]]:
    return {
        "companies": [message.campaign.company for message in messages],
        "campaign_ids": [message.campaign.id for message in messages],
        "message_ids": [message.id for message in messages],
    }


def _key(campaign: Campaign) -> dict[str, object]:
    return {"company": campaign.company, "campaign_id": campaign.id}
