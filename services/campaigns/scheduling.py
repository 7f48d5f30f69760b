"""What becomes of campaigns by themselves, each look one transaction."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from services.campaigns.domain import State
from services.campaigns.events import halt_of
from services.campaigns.lifecycle import Stage, Status
from services.campaigns.timetable import turn

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.commands import Progress
    from services.campaigns.domain import Campaign
    from services.campaigns.ports import Unit, Units
    from services.campaigns.timetable import Turn

CANCEL_MOST = 5000
"""Messages cancelled in one transaction."""
log = logging.getLogger(__name__)


async def look_after(now: datetime, units: Units) -> UUID | None:
    """Look at a campaign that is to be looked at, and let become of it what is due.

    Returns:
        Its id, None when there is none.
    """
    async with units() as unit:
        held = await unit.campaigns.due(now)
        if held is None:
            return None
        taken = turn(held.status, held.stage, held.campaign.closes_at, held.times, now)
        campaign = await _follow(held, taken, unit)
        unfinished = taken.status is Status.CANCELLED and not await _is_cancelled(held, unit)
        await unit.campaigns.turn(campaign, replace(taken, next_at=now) if unfinished else taken)
        await unit.commit()
    if taken.status is not held.status:
        what = taken.status.value
        log.info("A campaign is %s now", what, extra={"action": "look after", "campaign": campaign.id})
    return campaign.id


async def _follow(held: Progress, taken: Turn, unit: Unit) -> Campaign:
    """Open or park its plan as its turn asks; return the campaign as it is then."""
    campaign = held.campaign
    goes_on = taken.closes_at != campaign.closes_at
    if taken.status is Status.ACTIVE and (held.status is not Status.ACTIVE or goes_on):
        # A scheduled campaign begins; every other has had a run that ended with its window or its pause.
        campaign = replace(campaign, run=campaign.run + (held.status is not Status.SCHEDULED))
        await unit.plans.open(campaign)
    elif held.status is Status.ACTIVE and taken.status is not Status.ACTIVE:
        await unit.plans.park(campaign)
    if taken.status is Status.CANCELLED and held.status is not Status.CANCELLED:
        await unit.plans.park(campaign)
        await unit.outbox.add([halt_of(campaign)])
    return campaign


async def _is_cancelled(held: Progress, unit: Unit) -> bool:
    """Cancel what nobody is asked for, a part of it at a time; tell whether none was left."""
    if held.stage is not Stage.CANCELLED:
        return False
    campaign = held.campaign
    moved = await unit.messages.cancel_pending(campaign.company, campaign.id, CANCEL_MOST)
    if moved:
        changes = {State.PENDING: -moved, State.CANCELLED: moved}
        await unit.campaigns.count({campaign.key: changes})
    return moved < CANCEL_MOST
