"""What people ask of campaigns: to be made, started, held, read."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.commands import CreateCampaign, NewCampaign
from services.campaigns.domain import Campaign, State, checked_text, digest_of
from services.campaigns.events import halt_of
from services.campaigns.lifecycle import AFTER, Action, Missed, Status, is_due, when_missed
from services.kit.errors import ConflictError, NotFoundError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.commands import ActOnCampaign, Progress, Result
    from services.campaigns.ports import Unit, Units

CANCEL_MOST = 5000
"""Messages cancelled in one transaction."""
log = logging.getLogger(__name__)


async def create_campaign(command: CreateCampaign, units: Units) -> UUID:
    """Store a campaign, and have it planned if it starts at once; return its id, the same for the same key.

    Raises:
        InvalidError: the text cannot be sent.
        ConflictError: the key was used for another request.
    """
    new = _new(command)
    async with units() as unit:
        if await unit.campaigns.add(new):
            if new.status is Status.ACTIVE:
                await unit.plans.open(new.campaign)
            await unit.commit()
            log.info("Created a campaign", extra={"action": "create", "campaign": new.campaign.id})
            return new.campaign.id
        known = await unit.campaigns.by_key(command.company, command.key)
    if known is None or known[1] != new.digest:
        raise ConflictError("this Idempotency-Key was used for another campaign")
    return known[0]


def _new(command: CreateCampaign) -> NewCampaign:
    text = checked_text(command.text)
    campaign = Campaign(command.company, uuid7(), command.name, command.list_name, text, command.connection)
    status, more = Status.ACTIVE, []
    if command.start_at is not None:
        status, more = Status.SCHEDULED, [command.start_at.isoformat(), str(command.missed)]
    elif not command.start:
        status, more = Status.DRAFT, ["draft"]
    digest = digest_of(command.name, command.list_name, text, command.connection, *more)
    return NewCampaign(campaign, command.key, digest, status, command.start_at, command.missed or Missed.LATE)


async def clone_campaign(company: str, campaign_id: UUID, key: str, units: Units) -> UUID:
    """Store a draft like a campaign; return its id, the same for the same key.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: the key was used for another request.
    """
    like = (await read_progress(company, campaign_id, units)).campaign
    command = CreateCampaign(company, key, like.name, like.list_name, like.text, like.connection, start=False)
    return await create_campaign(command, units)


async def act_on_campaign(command: ActOnCampaign, units: Units) -> Progress:
    """Start, pause, resume or cancel a campaign; return where it is then. Asking once more changes nothing.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: it is at a stage where this cannot be asked.
    """
    async with units() as unit:
        held = await unit.campaigns.hold(command.company, command.campaign_id)
        if held is None:
            raise NotFoundError("there is no such campaign")
        if is_due(command.action, held.stage):
            await _take(command.action, held.campaign, unit)
            await unit.commit()
            log.info(
                "%s a campaign",
                command.action.value,
                extra={"action": command.action.value, "campaign": command.campaign_id},
            )
    if command.action is Action.CANCEL:
        await _cancel_pending(command.company, command.campaign_id, units)
    return await read_progress(command.company, command.campaign_id, units)


async def _take(action: Action, campaign: Campaign, unit: Unit) -> None:
    """Take an action: have it planned under its next run, or have nothing more of its run begun."""
    if action is Action.RESUME:
        campaign = replace(campaign, run=campaign.run + 1)
    await unit.campaigns.ask(campaign, AFTER[action])
    if AFTER[action] is Status.ACTIVE:
        await unit.plans.open(campaign)
    else:
        await unit.plans.park(campaign)
        await unit.outbox.add([halt_of(campaign)])


async def _cancel_pending(company: str, campaign_id: UUID, units: Units) -> None:
    """Cancel what is asked for by nobody; what is, comes back and is cancelled then."""
    moved = CANCEL_MOST
    while moved == CANCEL_MOST:
        async with units() as unit:
            moved = await unit.messages.cancel_pending(company, campaign_id, CANCEL_MOST)
            if moved:
                await unit.campaigns.count(
                    company, campaign_id, {State.PENDING: -moved, State.CANCELLED: moved}
                )
            await unit.commit()


async def start_due(now: datetime, units: Units) -> UUID | None:
    """Start a scheduled campaign whose time has come, or do what it wants when that was missed.

    Returns:
        Its id, None when none was due.
    """
    async with units() as unit:
        due = await unit.campaigns.due(now)
        if due is None:
            return None
        status, note = when_missed(due.start_at, now, due.missed)
        await unit.campaigns.ask(due.campaign, status, note)
        if status is Status.ACTIVE:
            await unit.plans.open(due.campaign)
        await unit.commit()
    log.info(
        "A scheduled campaign is %s now", status.value, extra={"action": "start", "campaign": due.campaign.id}
    )
    return due.campaign.id


async def read_progress(company: str, campaign_id: UUID, units: Units) -> Progress:
    """Return how far a campaign is.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    async with units() as unit:
        progress = await unit.campaigns.progress(company, campaign_id)
    if progress is None:
        raise NotFoundError("there is no such campaign")
    return progress


async def list_campaigns(company: str, before: UUID | None, limit: int, units: Units) -> list[Progress]:
    """Return how far a company's campaigns are, the newest first."""
    async with units() as unit:
        return await unit.campaigns.page(company, before, limit)


async def read_messages(
    company: str, campaign_id: UUID, after: UUID | None, limit: int, units: Units
) -> list[Result]:
    """Return a page of a campaign's messages.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    await read_progress(company, campaign_id, units)
    async with units() as unit:
        return await unit.messages.page(company, campaign_id, after, limit)
