"""Asking again for what was under way when an environment was lost."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.events import halt_of, requests_of
from services.campaigns.lifecycle import Status
from services.kit.errors import NotFoundError

if TYPE_CHECKING:
    from services.campaigns.domain import Campaign, Recipient
    from services.campaigns.ports import ContactPages, Units

log = logging.getLogger(__name__)


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
    return sum([await _request_campaign_again(*each, chunk, units, contacts) for each in campaigns])


async def _request_campaign_again(
    campaign: Campaign, status: Status, chunk: int, units: Units, contacts: ContactPages
) -> int:
    """Go through the list once more, for it knows numbers and names.

    A campaign that was halted is halted again first, so that what is requested under its run comes back.
    """
    cursor, requested = None, 0
    if status is not Status.ACTIVE:
        async with units() as unit:
            await unit.outbox.add([halt_of(campaign)])
            await unit.commit()
    while True:
        try:
            _, page = await contacts.page(campaign.company, campaign.list_name, cursor, chunk)
        except NotFoundError:
            log.warning("Its list is gone", extra={"action": "request again", "campaign": campaign.id})
            return requested
        async with units() as unit:
            known = await unit.messages.unsettled(campaign, [one.contact_id for one in page])
            owed: dict[int, list[Recipient]] = defaultdict(list)
            for one in page:
                if found := known.get(one.contact_id):
                    owed[found.run].append(replace(one, message_id=found.message_id))
            for run, recipients in owed.items():
                await unit.outbox.add(requests_of(replace(campaign, run=run), recipients))
            await unit.commit()
        requested += len(known)
        if len(page) < chunk:
            log.info(
                "Requested %d messages again",
                requested,
                extra={"action": "request again", "campaign": campaign.id},
            )
            return requested
        cursor = page[-1].contact_id
