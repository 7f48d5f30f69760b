"""What the service does: functions of a message and the ports they need."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain import (
    Campaign,
    State,
    checked_text,
    differences,
    digest_of,
    highest,
    moves,
)
from services.campaigns.events import news_of, request_of
from services.kit.errors import ConflictError, NotFoundError, TemporaryError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from services.campaigns.commands import CreateCampaign, Plan, PlanNextChunk, Progress
    from services.campaigns.domain import Recipient
    from services.campaigns.events import News
    from services.campaigns.ports import ContactPages, Unit, Units
    from services.kit.events import Incoming

PUT_OFF_SECONDS = 2.0
"""A plan is left for so long when the contacts service is away."""
log = logging.getLogger(__name__)


async def create_campaign(command: CreateCampaign, units: Units) -> UUID:
    """Store a campaign to be planned; return its id, the same for the same idempotency key.

    Raises:
        InvalidError: the text cannot be sent.
        ConflictError: the key was used for another request.
    """
    text = checked_text(command.text)
    campaign = Campaign(command.company, uuid7(), command.name, command.list_name, text, command.connection)
    digest = digest_of(command.name, command.list_name, text, command.connection)
    async with units() as unit:
        if await unit.campaigns.add(campaign, command.key, digest):
            await unit.commit()
            log.info("Created a campaign", extra={"action": "create", "campaign": campaign.id})
            return campaign.id
        known = await unit.campaigns.by_key(command.company, command.key)
    if known is None or known[1] != digest:
        raise ConflictError("this Idempotency-Key was used for another campaign")
    return known[0]


async def plan_next_chunk(command: PlanNextChunk, units: Units, contacts: ContactPages) -> int | None:
    """Plan one chunk of the campaign that waits longest; return how many messages, or None when none waits.

    Campaigns take turns chunk by chunk. A planner that dies is replaced when its lease ends.

    Raises:
        TemporaryError: the database is away.
    """
    async with units() as unit:
        plan = await unit.campaigns.claim_plan(command.lease_seconds)
        await unit.commit()
    if plan is None:
        return None
    campaign = plan.campaign
    try:
        total, page = await contacts.page(campaign.company, campaign.list_name, plan.cursor, command.chunk)
    except NotFoundError as error:
        return await _give_up(plan, str(error), units)
    except TemporaryError as error:
        return await _put_off(plan, str(error), units)
    return await _store_chunk(plan, total, page, units, last=len(page) < command.chunk)


async def _store_chunk(plan: Plan, total: int, page: Sequence[Recipient], units: Units, *, last: bool) -> int:
    """Store messages, requests, counts and cursor in one transaction; nothing when the claim is lost."""
    campaign = plan.campaign
    async with units() as unit:
        cursor = page[-1].contact_id if page else plan.cursor
        if not await unit.campaigns.hold_plan(plan, cursor, 0):
            log.info("Another planner took over", extra={"action": "plan", "campaign": campaign.id})
            return 0
        stored = await unit.campaigns.add_recipients(campaign, page) if page else set()
        new = [recipient for recipient in page if recipient.message_id in stored]
        await unit.outbox.add([request_of(campaign, recipient) for recipient in new])
        await unit.campaigns.count(campaign.company, campaign.id, {State.QUEUED: len(new)})
        await unit.campaigns.set_total(campaign, total)
        if last:
            await unit.campaigns.end_plan(plan, None)
        await unit.commit()
    what = "Planned the last %d messages" if last else "Planned %d messages"
    log.info(what, len(new), extra={"action": "plan", "campaign": campaign.id})
    return len(new)


async def _give_up(plan: Plan, reason: str, units: Units) -> int:
    """Close the plan: it cannot be carried out."""
    async with units() as unit:
        await unit.campaigns.end_plan(plan, reason)
        await unit.commit()
    log.warning("Planning given up: %s", reason, extra={"action": "plan", "campaign": plan.campaign.id})
    return 0


async def _put_off(plan: Plan, reason: str, units: Units) -> int:
    """Leave the plan for a moment."""
    async with units() as unit:
        await unit.campaigns.hold_plan(plan, plan.cursor, PUT_OFF_SECONDS)
        await unit.commit()
    log.warning("Planning waits: %s", reason, extra={"action": "plan", "campaign": plan.campaign.id})
    return 0


async def apply_news(events: Sequence[Incoming], units: Units) -> None:
    """Move messages up the ladder and count, once per event, in one transaction."""
    async with units() as unit:
        fresh = await unit.inbox.fresh(events)
        news = [one for event in fresh if (one := news_of(event))]
        for (company, campaign_id), of_campaign in _by_campaign(news):
            await _climb(company, campaign_id, of_campaign, unit)
        await unit.commit()


async def _climb(company: str, campaign_id: UUID, news: Iterable[News], unit: Unit) -> None:
    """Move the messages of one campaign."""
    states = highest((one.message_id, one.state) for one in news)
    held = await unit.campaigns.hold_messages(company, campaign_id, sorted(states))
    climbed = moves(held, states)
    if climbed:
        await unit.campaigns.move_messages(company, campaign_id, climbed)
        await unit.campaigns.count(company, campaign_id, differences(climbed))
    if len(held) < len(states):
        log.warning(
            "News of %d unknown messages",
            len(states) - len(held),
            extra={"action": "news", "campaign": campaign_id},
        )


def _by_campaign(news: Iterable[News]) -> list[tuple[tuple[str, UUID], list[News]]]:
    """Return the news per campaign, in one order everywhere: two workers never wait for each other."""
    groups: dict[tuple[str, UUID], list[News]] = defaultdict(list)
    for one in news:
        groups[one.company, one.campaign_id].append(one)
    return sorted(groups.items())


async def request_again(chunk: int, units: Units, contacts: ContactPages) -> int:
    """Ask again for every message of which an event may have been lost; return how many.

    For the time after a loss of what travelled between the services. A second request is harmless: a message
    has one id for ever, and whoever knows it already answers with where it is. A campaign whose list is gone,
    and messages of contacts that left it, stay as they are.

    Raises:
        TemporaryError: the database or the contacts service is away; asking once more starts over.
    """
    async with units() as unit:
        campaigns = await unit.campaigns.unsettled()
    return sum([await _request_campaign_again(campaign, chunk, units, contacts) for campaign in campaigns])


async def _request_campaign_again(
    campaign: Campaign, chunk: int, units: Units, contacts: ContactPages
) -> int:
    """Go through the list once more, for it knows numbers and names."""
    cursor, requested = None, 0
    while True:
        try:
            _, page = await contacts.page(campaign.company, campaign.list_name, cursor, chunk)
        except NotFoundError:
            log.warning("Its list is gone", extra={"action": "request again", "campaign": campaign.id})
            return requested
        async with units() as unit:
            known = await unit.campaigns.unsettled_of(campaign, [one.contact_id for one in page])
            owed = [replace(one, message_id=known[one.contact_id]) for one in page if one.contact_id in known]
            await unit.outbox.add([request_of(campaign, recipient) for recipient in owed])
            await unit.commit()
        requested += len(owed)
        if len(page) < chunk:
            log.info(
                "Requested %d messages again",
                requested,
                extra={"action": "request again", "campaign": campaign.id},
            )
            return requested
        cursor = page[-1].contact_id


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


async def read_messages(
    company: str, campaign_id: UUID, after: UUID | None, limit: int, units: Units
) -> list[tuple[UUID, State]]:
    """Return a page of a campaign's messages.

    Raises:
        NotFoundError: the company has no such campaign.
    """
    await read_progress(company, campaign_id, units)
    async with units() as unit:
        return await unit.campaigns.messages(company, campaign_id, after, limit)
