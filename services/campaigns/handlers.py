"""What people ask of campaigns: to be made, started, held, read."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.commands import CreateCampaign, NewCampaign
from services.campaigns.domain import Campaign, digest_of
from services.campaigns.events import halt_of
from services.campaigns.lifecycle import AFTER, NOT_BEGUN, Action, Status, is_due
from services.campaigns.texts import problems
from services.campaigns.timetable import Times
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from services.campaigns.commands import ActOnCampaign, ChangeCampaign, Content, Progress, Result
    from services.campaigns.ports import Unit, Units

log = logging.getLogger(__name__)


async def create_campaign(command: CreateCampaign, units: Units) -> UUID:
    """Store a campaign, and have it planned if it starts at once; return its id, the same for the same key.

    Raises:
        InvalidError: the texts cannot be sent, or the times make no sense; all that is wrong is said.
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
    campaign = _campaign(command, uuid7())
    digest = _digest(command, campaign.text)
    return NewCampaign(campaign, command.key, digest, _first_status(command), command.times)


def _campaign(content: Content, campaign_id: UUID) -> Campaign:
    text, *more = [text.strip() for text in (content.text, *content.more_texts)]
    wrong = problems([text, *more], content.variables) + content.times.problems()
    if wrong:
        raise InvalidError("; ".join(wrong))
    return Campaign(
        company=content.company,
        id=campaign_id,
        name=content.name,
        list_name=content.list_name,
        text=text,
        connection=content.connection,
        more_texts=tuple(more),
        variables=content.variables,
        expires_at=content.times.expires_at,
    )


def _digest(command: CreateCampaign, text: str) -> bytes:
    """Tell requests apart. What is not asked for is left out, as before it could be."""
    plain = (command.name, command.list_name, text, command.connection)
    more = (command.more_texts, sorted(command.variables.items()), command.start, command.times)
    return digest_of(*plain) if more == ((), [], True, Times()) else digest_of(*plain, repr(more))


def _first_status(command: CreateCampaign) -> Status:
    if command.times.start_at is not None:
        return Status.SCHEDULED
    if not command.start:
        return Status.DRAFT
    return Status.WAITING if command.times.window else Status.ACTIVE


async def change_campaign(command: ChangeCampaign, units: Units) -> Progress:
    """Replace what was decided about a draft or a scheduled campaign; return where it is then.

    Without a time it is a draft, with one it is scheduled.

    Raises:
        InvalidError: as for a new one.
        NotFoundError: the company has no such campaign.
        ConflictError: it has begun, or is over.
    """
    campaign, company = _campaign(command, command.campaign_id), command.company
    async with units() as unit:
        held = _known(await unit.campaigns.hold(company, campaign.id))
        if held.stage not in NOT_BEGUN:
            raise ConflictError(f"the campaign is {held.stage.value}: only what has not begun can be changed")
        status = Status.SCHEDULED if command.times.start_at else Status.DRAFT
        await unit.campaigns.change(replace(campaign, run=held.campaign.run), status, command.times)
        changed = _known(await unit.campaigns.progress(company, campaign.id))
        await unit.commit()
    log.info("Changed a campaign", extra={"action": "change", "campaign": campaign.id})
    return changed


async def clone_campaign(company: str, campaign_id: UUID, key: str, units: Units) -> UUID:
    """Store a draft like a campaign, without its dates; return its id, the same for the same key.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: the key was used for another request.
    """
    found = await read_progress(company, campaign_id, units)
    like = found.campaign
    command = CreateCampaign(
        company=company,
        key=key,
        name=like.name,
        list_name=like.list_name,
        text=like.text,
        connection=like.connection,
        more_texts=like.more_texts,
        variables=like.variables,
        start=False,
        times=Times(window=found.times.window),
    )
    return await create_campaign(command, units)


async def act_on_campaign(command: ActOnCampaign, units: Units) -> Progress:
    """Start, pause, resume or cancel a campaign; return where it is then. Asking once more changes nothing.

    Raises:
        NotFoundError: the company has no such campaign.
        ConflictError: it is at a stage where this cannot be asked.
    """
    async with units() as unit:
        held = _known(await unit.campaigns.hold(command.company, command.campaign_id))
        if not is_due(command.action, held.stage):
            return held
        await _take(command.action, held, unit)
        taken = _known(await unit.campaigns.progress(command.company, command.campaign_id))
        await unit.commit()
    done = command.action.value
    log.info("%s a campaign", done, extra={"action": done, "campaign": command.campaign_id})
    return taken


async def _take(action: Action, held: Progress, unit: Unit) -> None:
    """Take an action: have it planned under its next run, or have nothing more of its run begun."""
    campaign, status = held.campaign, AFTER[action]
    if action is Action.RESUME:
        campaign = replace(campaign, run=campaign.run + 1)
    if status is Status.ACTIVE and held.times.window:
        status = Status.WAITING
    await unit.campaigns.ask(campaign, status)
    if status is Status.ACTIVE:
        await unit.plans.open(campaign)
    elif action in {Action.PAUSE, Action.CANCEL}:
        await unit.plans.park(campaign)
        await unit.outbox.add([halt_of(campaign)])


async def read_progress(company: str, campaign_id: UUID, units: Units) -> Progress:
    """Return how far a campaign is.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    async with units() as unit:
        return _known(await unit.campaigns.progress(company, campaign_id))


def _known(found: Progress | None) -> Progress:
    if found is None:
        raise NotFoundError("there is no such campaign")
    return found


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
