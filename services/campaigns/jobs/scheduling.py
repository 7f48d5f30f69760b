"""Automatic state transitions of campaigns, one transaction per check."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain.lifecycle import CampaignState, RequestedState
from services.campaigns.domain.model import MessageState
from services.campaigns.domain.schedule_rules import next_transition
from services.campaigns.events import run_stopped_event
from services.contracts.telemetry import Attribute, SpanName
from services.kit.observability import tracing

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.commands import CampaignProgress
    from services.campaigns.domain.model import Campaign
    from services.campaigns.domain.schedule_rules import ScheduledTransition
    from services.campaigns.ports import UnitOfWork, UnitOfWorkFactory

CANCEL_BATCH_SIZE = 5000
"""Messages cancelled per transaction."""
log = logging.getLogger(__name__)


async def run_scheduled_transition(now: datetime, uow_factory: UnitOfWorkFactory) -> UUID | None:
    """Check the next due campaign and apply its due transition.

    Args:
        now: current time.
        uow_factory: starts the transaction.

    Returns:
        The campaign's id, None when no campaign is due.
    """
    async with uow_factory() as uow:
        current = await uow.campaigns.lock_next_due(now)
        if current is None:
            return None
        with tracing.span(SpanName.SCHEDULE, "", attributes={Attribute.CAMPAIGN: str(current.campaign.id)}):
            await _check(current, now, uow)
    return current.campaign.id


async def _check(current: CampaignProgress, now: datetime, uow: UnitOfWork) -> None:
    """Apply the due transition of a campaign and commit."""
    transition = next_transition(
        current.requested_state,
        current.state,
        current.campaign.window_closes_at,
        current.schedule,
        now,
    )
    state = transition.requested_state
    campaign = await _apply_transition(current, transition, uow)
    unfinished = state is RequestedState.CANCELLED and not await _cancel_batch(current, uow)
    if unfinished:
        transition = replace(transition, next_check_at=now)
    await uow.campaigns.apply_transition(campaign, transition)
    await uow.commit()
    if state is not current.requested_state:
        extra = {"action": "schedule_campaign", "campaign": campaign.id}
        log.info("Campaign changed to %s", state.value, extra=extra)


async def _apply_transition(
    current: CampaignProgress, transition: ScheduledTransition, uow: UnitOfWork
) -> Campaign:
    """Start or suspend the plan according to the transition; return the campaign with its run."""
    campaign, old_state, new_state = current.campaign, current.requested_state, transition.requested_state
    window_changed = transition.window_closes_at != campaign.window_closes_at
    if new_state is RequestedState.ACTIVE and (old_state is not RequestedState.ACTIVE or window_changed):
        # A scheduled campaign starts its first run; any other had a run that ended with its window or pause.
        campaign = replace(campaign, run=campaign.run + (old_state is not RequestedState.SCHEDULED))
        await uow.plans.start_or_resume(campaign)
    elif old_state is RequestedState.ACTIVE and new_state is not RequestedState.ACTIVE:
        await uow.plans.suspend(campaign)
    if new_state is RequestedState.CANCELLED and old_state is not RequestedState.CANCELLED:
        await uow.plans.suspend(campaign)
        await uow.outbox.add([run_stopped_event(campaign)])
    return campaign


async def _cancel_batch(current: CampaignProgress, uow: UnitOfWork) -> bool:
    """Cancel a batch of pending messages; return whether no more are left."""
    if current.state is not CampaignState.CANCELLED:
        return False
    campaign = current.campaign
    cancelled = await uow.messages.cancel_pending(campaign.company, campaign.id, CANCEL_BATCH_SIZE)
    if cancelled:
        deltas = {MessageState.PENDING: -cancelled, MessageState.CANCELLED: cancelled}
        await uow.campaigns.add_counts({campaign.key: deltas})
    return cancelled < CANCEL_BATCH_SIZE
