"""Planning: passes over a contact list that create and request one message per contact, chunk by chunk.

After a resumption the list is scanned again for returned messages, since only the list holds phone numbers
and names. Messages that are returned during a pass are requested in the next one; a returned message that a
whole pass does not reach belongs to a contact that left the list.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain.model import MessageState
from services.campaigns.events import request_events
from services.contracts.telemetry import Attribute, SpanName
from services.kit.errors import NotFoundError, TemporaryError
from services.kit.observability import tracing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.campaigns.commands import PlanLease, PlanNextChunk
    from services.campaigns.domain.model import Campaign, Recipient
    from services.campaigns.ports import ContactsClient, UnitOfWork, UnitOfWorkFactory

PLAN_RETRY_SECONDS = 2.0
"""Delay of a plan while the contacts service is unavailable, and between two passes."""
log = logging.getLogger(__name__)


async def plan_next_chunk(
    command: PlanNextChunk, uow_factory: UnitOfWorkFactory, contacts: ContactsClient
) -> int | None:
    """Plan one chunk of the campaign that has waited longest.

    Campaigns alternate chunk by chunk. The lease of a crashed planner expires, and another planner continues.

    Args:
        command: chunk size and lease lifetime.
        uow_factory: starts the transactions.
        contacts: client of the contacts service.

    Returns:
        The number of planned messages, or None when no campaign waits.

    Raises:
        TemporaryError: the database is unavailable.
    """
    async with uow_factory() as uow:
        plan = await uow.plans.claim(command.lease_seconds)
        await uow.commit()
    if plan is None:
        return None
    attributes = {Attribute.CAMPAIGN: str(plan.campaign.id)}
    with tracing.span(SpanName.PLAN, plan.traceparent, attributes=attributes) as span:
        planned = await _plan(plan, command.chunk_size, uow_factory, contacts)
        span.set_attribute(Attribute.MESSAGES, planned)
    return planned


async def _plan(plan: PlanLease, size: int, uow_factory: UnitOfWorkFactory, contacts: ContactsClient) -> int:
    """Plan the next chunk of a leased plan; return the number of planned messages."""
    if plan.list_exhausted and plan.cursor is None and not await _start_pass_if_needed(plan, uow_factory):
        return 0
    campaign = plan.campaign
    try:
        # One contact more than a chunk shows whether there is a next one: saves a request for most lists.
        total, page = await contacts.fetch_page(campaign.company, campaign.list_name, plan.cursor, size + 1)
    except NotFoundError as error:
        return await _fail_plan(plan, str(error), uow_factory)
    except TemporaryError as error:
        return await _postpone_plan(plan, str(error), uow_factory)
    return await _store_chunk(plan, total, page[:size], uow_factory, is_last=len(page) <= size)


async def _start_pass_if_needed(plan: PlanLease, uow_factory: UnitOfWorkFactory) -> bool:
    """Start a pass if messages were returned; finish the plan when none can be returned any more."""
    async with uow_factory() as uow:
        outstanding = await uow.messages.outstanding_work(plan)
        started = False
        if outstanding.to_requeue:
            started = await uow.plans.start_pass(plan)
        elif outstanding.in_flight:
            await uow.plans.advance(plan, None, PLAN_RETRY_SECONDS)
        else:
            await uow.plans.finish(plan, None)
        await uow.commit()
    return started


async def _store_chunk(
    plan: PlanLease, total: int, page: Sequence[Recipient], uow_factory: UnitOfWorkFactory, *, is_last: bool
) -> int:
    """Store messages, requests, counts and cursor in one transaction; nothing when the lease is lost."""
    campaign = plan.campaign
    async with uow_factory() as uow:
        cursor = page[-1].contact_id if page else plan.cursor
        if not await uow.plans.advance(plan, cursor, 0):
            log.info(
                "Lost the lease to another planner",
                extra={"action": "plan_campaign", "campaign": campaign.id},
            )
            return 0
        requested = await _request_messages(plan, page, uow) if page else []
        await uow.outbox.add(request_events(campaign, requested))
        await uow.plans.set_total(campaign, total)
        if is_last:
            await _finish_pass(plan, uow)
        await uow.commit()
    message = "Planned the last %d messages" if is_last else "Planned %d messages"
    log.info(message, len(requested), extra={"action": "plan_campaign", "campaign": campaign.id})
    return len(requested)


async def _request_messages(plan: PlanLease, page: Sequence[Recipient], uow: UnitOfWork) -> list[Recipient]:
    """Queue the messages of new contacts and returned messages; return their recipients."""
    campaign = plan.campaign
    requested: list[Recipient] = []
    if not plan.list_exhausted:
        added = await uow.messages.add(campaign, page)
        requested = [recipient for recipient in page if recipient.message_id in added]
        await uow.campaigns.add_counts({campaign.key: {MessageState.QUEUED: len(requested)}})
    if campaign.run:
        contact_ids = [recipient.contact_id for recipient in page]
        requeued = await uow.messages.requeue_pending(campaign, contact_ids)
        returned = [
            replace(recipient, message_id=requeued[recipient.contact_id])
            for recipient in page
            if recipient.contact_id in requeued
        ]
        await _move_counts(campaign, MessageState.PENDING, MessageState.QUEUED, len(returned), uow)
        requested += returned
    return requested


async def _finish_pass(plan: PlanLease, uow: UnitOfWork) -> None:
    """Finish the plan of a first run. Later runs are repeated until no message can be returned any more."""
    if not plan.campaign.run:
        await uow.plans.finish(plan, None)
        return
    if plan.list_exhausted:
        orphaned = await uow.messages.cancel_orphaned(plan.campaign)
        await _move_counts(plan.campaign, MessageState.PENDING, MessageState.CANCELLED, orphaned, uow)
    await uow.plans.schedule_pass(plan, PLAN_RETRY_SECONDS)


async def _move_counts(
    campaign: Campaign, old_state: MessageState, new_state: MessageState, count: int, uow: UnitOfWork
) -> None:
    if count:
        await uow.campaigns.add_counts({campaign.key: {old_state: -count, new_state: count}})


async def _fail_plan(plan: PlanLease, reason: str, uow_factory: UnitOfWorkFactory) -> int:
    async with uow_factory() as uow:
        await uow.plans.finish(plan, reason)
        await uow.commit()
    log.warning(
        "Planning failed: %s", reason, extra={"action": "plan_campaign", "campaign": plan.campaign.id}
    )
    return 0


async def _postpone_plan(plan: PlanLease, reason: str, uow_factory: UnitOfWorkFactory) -> int:
    async with uow_factory() as uow:
        await uow.plans.advance(plan, plan.cursor, PLAN_RETRY_SECONDS)
        await uow.commit()
    log.warning(
        "Planning postponed: %s", reason, extra={"action": "plan_campaign", "campaign": plan.campaign.id}
    )
    return 0
