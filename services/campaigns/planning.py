"""Planning: a walk through a list that gives each contact its message and has it requested, chunk by chunk.

A campaign that resumes is walked again for what came back meanwhile: the list knows numbers and names. What
comes back late is met by the next walk; what comes back and is never met has lost its contact.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain import State
from services.campaigns.events import requests_of
from services.kit.errors import NotFoundError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.campaigns.commands import Plan, PlanNextChunk
    from services.campaigns.domain import Campaign, Recipient
    from services.campaigns.ports import ContactPages, Unit, Units

PUT_OFF_SECONDS = 2.0
"""A plan is left for so long when the contacts service is away, and between two walks."""
log = logging.getLogger(__name__)


async def plan_next_chunk(command: PlanNextChunk, units: Units, contacts: ContactPages) -> int | None:
    """Plan one chunk of the campaign that waits longest; return how many messages, or None when none waits.

    Campaigns take turns chunk by chunk. A planner that dies is replaced when its lease ends.

    Raises:
        TemporaryError: the database is away.
    """
    async with units() as unit:
        plan = await unit.plans.claim(command.lease_seconds)
        await unit.commit()
    if plan is None:
        return None
    if plan.complete and plan.cursor is None and not await _walk_is_due(plan, units):
        return 0
    campaign, most = plan.campaign, command.chunk
    try:
        # One more than a chunk tells whether there is a next one, which saves another look at most lists.
        total, page = await contacts.page(campaign.company, campaign.list_name, plan.cursor, most + 1)
    except NotFoundError as error:
        return await _give_up(plan, str(error), units)
    except TemporaryError as error:
        return await _put_off(plan, str(error), units)
    return await _store_chunk(plan, total, page[:most], units, last=len(page) <= most)


async def _walk_is_due(plan: Plan, units: Units) -> bool:
    """Tell whether the list is to be walked for what came back; close the plan when nothing can any more."""
    async with units() as unit:
        owed = await unit.messages.owed(plan.campaign)
        if owed.pending:
            due = await unit.plans.begin_walk(plan)
        else:
            due = False
            await (
                unit.plans.hold(plan, None, PUT_OFF_SECONDS) if owed.awaited else unit.plans.end(plan, None)
            )
        await unit.commit()
    return due


async def _store_chunk(plan: Plan, total: int, page: Sequence[Recipient], units: Units, *, last: bool) -> int:
    """Store messages, requests, counts and cursor in one transaction; nothing when the claim is lost."""
    campaign = plan.campaign
    async with units() as unit:
        cursor = page[-1].contact_id if page else plan.cursor
        if not await unit.plans.hold(plan, cursor, 0):
            log.info("Another planner took over", extra={"action": "plan", "campaign": campaign.id})
            return 0
        asked = await _ask(plan, page, unit) if page else []
        await unit.outbox.add(requests_of(campaign, asked))
        await unit.plans.set_total(campaign, total)
        if last:
            await _end_walk(plan, unit)
        await unit.commit()
    what = "Planned the last %d messages" if last else "Planned %d messages"
    log.info(what, len(asked), extra={"action": "plan", "campaign": campaign.id})
    return len(asked)


async def _ask(plan: Plan, page: Sequence[Recipient], unit: Unit) -> list[Recipient]:
    """Queue the messages of new contacts and those that came back; return whom they go to."""
    campaign, asked = plan.campaign, []
    if not plan.complete:
        stored = await unit.messages.add(campaign, page)
        asked = [recipient for recipient in page if recipient.message_id in stored]
        await unit.campaigns.count({campaign.key: {State.QUEUED: len(asked)}})
    if campaign.run:
        known = await unit.messages.take_pending(campaign, [one.contact_id for one in page])
        back = [replace(one, message_id=known[one.contact_id]) for one in page if one.contact_id in known]
        await _count(campaign, State.PENDING, State.QUEUED, len(back), unit)
        asked += back
    return asked


async def _end_walk(plan: Plan, unit: Unit) -> None:
    """Close the plan of a first run. Later ones are walked until all has come back and been asked for."""
    if not plan.campaign.run:
        await unit.plans.end(plan, None)
        return
    if plan.complete:
        left = await unit.messages.cancel_left(plan.campaign)
        await _count(plan.campaign, State.PENDING, State.CANCELLED, left, unit)
    await unit.plans.walk_again(plan, PUT_OFF_SECONDS)


async def _count(campaign: Campaign, before: State, after: State, moved: int, unit: Unit) -> None:
    if moved:
        await unit.campaigns.count({campaign.key: {before: -moved, after: moved}})


async def _give_up(plan: Plan, reason: str, units: Units) -> int:
    """Close the plan: it cannot be carried out."""
    async with units() as unit:
        await unit.plans.end(plan, reason)
        await unit.commit()
    log.warning("Planning given up: %s", reason, extra={"action": "plan", "campaign": plan.campaign.id})
    return 0


async def _put_off(plan: Plan, reason: str, units: Units) -> int:
    """Leave the plan for a moment."""
    async with units() as unit:
        await unit.plans.hold(plan, plan.cursor, PUT_OFF_SECONDS)
        await unit.commit()
    log.warning("Planning waits: %s", reason, extra={"action": "plan", "campaign": plan.campaign.id})
    return 0
