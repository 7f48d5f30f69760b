"""Ports of the campaigns service: repositories, unit of work and contacts client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.commands import (
        CampaignProgress,
        CampaignRecord,
        MessageResult,
        OutstandingWork,
        PlanLease,
        PlanningLoad,
        UnconfirmedMessage,
    )
    from services.campaigns.domain.lifecycle import RequestedState
    from services.campaigns.domain.model import (
        Campaign,
        CampaignKey,
        MessageKey,
        MessageState,
        Recipient,
        StateTransition,
    )
    from services.campaigns.domain.schedule_rules import Schedule, ScheduledTransition
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox


class CampaignRepository(Protocol):
    """Campaigns and their message counts, inside a unit of work."""

    async def add(self, record: CampaignRecord) -> bool:
        """Store a campaign; return False when the company has used the idempotency key before."""
        ...

    async def find_by_idempotency_key(self, company: str, idempotency_key: str) -> tuple[UUID, bytes] | None:
        """Return the id and the request fingerprint of the campaign created with this key.

        Args:
            company: the tenant.
            idempotency_key: idempotency key of the caller.

        Returns:
            Id and fingerprint, or None when the key is unused.
        """
        ...

    async def lock(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """Lock a campaign until the unit of work ends; no other transaction changes its requested state.

        Args:
            company: the tenant.
            campaign_id: the campaign.

        Returns:
            The campaign, or None when the company has no such campaign.
        """
        ...

    async def update(self, campaign: Campaign, requested_state: RequestedState, schedule: Schedule) -> None:
        """Store other fields of a campaign that has not started; the scheduler checks it at once.

        Args:
            campaign: the campaign with its new fields.
            requested_state: the state to store.
            schedule: the new schedule.
        """
        ...

    async def set_requested_state(self, campaign: Campaign, requested_state: RequestedState) -> None:
        """Store the requested state and the run of a campaign; the scheduler checks it at once.

        Args:
            campaign: the campaign with its run.
            requested_state: the state to store.
        """
        ...

    async def apply_transition(self, campaign: Campaign, transition: ScheduledTransition) -> None:
        """Store an automatic transition, the run and the next check time.

        Args:
            campaign: the campaign with its run.
            transition: state, next check, end of the window and reason.
        """
        ...

    async def lock_requested_state(self, campaign: CampaignKey) -> RequestedState | None:
        """Return the requested state of a campaign, share-locked until the transaction ends; or None."""
        ...

    async def lock_next_due(self, now: datetime) -> CampaignProgress | None:
        """Lock and return the next campaign to check by `now` that is not locked by others, or None."""
        ...

    async def add_counts(self, deltas: Mapping[CampaignKey, Mapping[MessageState, int]]) -> None:
        """Add deltas to the counts per state of campaigns."""
        ...

    async def get_progress(self, company: str, campaign_id: UUID) -> CampaignProgress | None:
        """Return a campaign with its state and counts.

        Args:
            company: the tenant.
            campaign_id: the campaign.

        Returns:
            The campaign, or None when the company has no such campaign.
        """
        ...

    async def page(self, company: str, before: UUID | None, limit: int) -> list[CampaignProgress]:
        """Return campaigns of a company, newest first.

        Args:
            company: the tenant.
            before: return campaigns created before this one; None for the newest.
            limit: maximum number of campaigns.

        Returns:
            The campaigns with their states and counts.
        """
        ...

    async def with_unconfirmed_messages(self) -> Sequence[tuple[Campaign, RequestedState]]:
        """Return the campaigns with messages of which an event may have been lost."""
        ...


class PlanRepository(Protocol):
    """Plans of campaigns: lease and cursor. Inside a unit of work."""

    async def start_or_resume(self, campaign: Campaign) -> None:
        """Make a campaign plannable: from the start, from its cursor, or for returned messages."""
        ...

    async def suspend(self, campaign: Campaign) -> None:
        """Stop the planning of a campaign; the current lease becomes invalid."""
        ...

    async def claim(self, lease_seconds: float) -> PlanLease | None:
        """Lease the plan that has waited longest; return None when none waits."""
        ...

    async def advance(self, plan: PlanLease, cursor: UUID | None, lease_seconds: float) -> bool:
        """Store the cursor and renew the lease.

        Args:
            plan: the lease.
            cursor: last planned contact.
            lease_seconds: remaining lifetime; 0 releases the lease.

        Returns:
            False when the lease is lost.
        """
        ...

    async def finish(self, plan: PlanLease, failure: str | None) -> bool:
        """End the planning.

        Args:
            plan: the lease.
            failure: reason why planning failed; None when it is complete.

        Returns:
            False when the lease is lost.
        """
        ...

    async def start_pass(self, plan: PlanLease) -> bool:
        """Store the start time of a pass over the list; return False when the lease is lost."""
        ...

    async def schedule_pass(self, plan: PlanLease, delay_seconds: float) -> bool:
        """End a pass over the list and schedule the next one.

        Args:
            plan: the lease.
            delay_seconds: time until the next pass.

        Returns:
            False when the lease is lost.
        """
        ...

    async def load(self) -> PlanningLoad:
        """Return the number of campaigns that are being planned, and the longest time without progress."""
        ...

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """Store the size of the contact list.

        Args:
            campaign: the campaign.
            total: number of contacts on its list.
        """
        ...


class MessageRepository(Protocol):
    """Messages of campaigns, inside a unit of work. Callers that change states change the counts too."""

    async def add(self, campaign: Campaign, recipients: Sequence[Recipient]) -> set[UUID]:
        """Store messages of contacts that have none in this campaign.

        Args:
            campaign: the campaign with its run.
            recipients: contacts with new message ids.

        Returns:
            The ids of the stored messages.
        """
        ...

    async def lock(self, messages: Sequence[MessageKey]) -> Mapping[MessageKey, MessageState]:
        """Lock messages, in the same order in every transaction, and return their states."""
        ...

    async def update_states(self, transitions: Sequence[StateTransition]) -> None:
        """Store new states of messages."""
        ...

    async def return_unsent(
        self, campaign: CampaignKey, runs: Mapping[UUID, int], state: MessageState
    ) -> int:
        """Take queued messages out of the queue, only those requested under exactly the reported run.

        Args:
            campaign: their campaign.
            runs: reported run by message id.
            state: new state, `PENDING` or `CANCELLED`.

        Returns:
            The number of messages.
        """
        ...

    async def requeue_pending(self, campaign: Campaign, contact_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
        """Queue pending messages of contacts under the campaign's run.

        Args:
            campaign: the campaign with its run.
            contact_ids: the contacts.

        Returns:
            Message ids by contact id.
        """
        ...

    async def cancel_pending(self, company: str, campaign_id: UUID, limit: int) -> int:
        """Cancel pending messages.

        Args:
            company: the tenant.
            campaign_id: the campaign.
            limit: maximum number of messages.

        Returns:
            The number of cancelled messages.
        """
        ...

    async def cancel_orphaned(self, campaign: Campaign) -> int:
        """Cancel messages that were pending before the current pass and were not requested in it.

        Returns:
            The number of cancelled messages.
        """
        ...

    async def outstanding_work(self, plan: PlanLease) -> OutstandingWork:
        """Return the outstanding work of a resumed campaign."""
        ...

    async def find_unconfirmed(
        self, campaign: Campaign, contact_ids: Sequence[UUID]
    ) -> Mapping[UUID, UnconfirmedMessage]:
        """Return messages of contacts of which an event may have been lost.

        Args:
            campaign: the campaign.
            contact_ids: the contacts.

        Returns:
            Messages by contact id.
        """
        ...

    async def page(
        self, company: str, campaign_id: UUID, after: UUID | None, limit: int
    ) -> list[MessageResult]:
        """Return messages of a campaign by id.

        Args:
            company: the tenant.
            campaign_id: the campaign.
            after: return messages after this one; None for the first.
            limit: maximum number of messages.

        Returns:
            The messages.
        """
        ...


class UnitOfWork(Protocol):
    """One transaction; it is rolled back unless it is committed."""

    campaigns: CampaignRepository
    plans: PlanRepository
    messages: MessageRepository
    outbox: Outbox
    inbox: Inbox

    async def commit(self) -> None:
        """Commit the transaction."""
        ...


class UnitOfWorkFactory(Protocol):
    """Starts units of work."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Start a unit of work."""
        ...


class ContactsClient(Protocol):
    """Client of the contacts service."""

    async def fetch_page(
        self, company: str, list_name: str, after: UUID | None, limit: int
    ) -> tuple[int, list[Recipient]]:
        """Return contacts of a list, each with a new message id.

        Args:
            company: the tenant.
            list_name: name of the list.
            after: return contacts after this one; None for the first.
            limit: maximum number of contacts.

        Returns:
            The size of the list, and the contacts.

        Raises:
            NotFoundError: there is no such list.
            TemporaryError: the service is unavailable.
        """
        ...
