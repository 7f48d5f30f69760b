"""What becomes of news about messages: they climb, or come back when they were not begun.

All campaigns of which there is news are done together. Workers take messages in one order, and then counts in
one order, so that they never wait for each other.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from services.campaigns.domain import State, differences, highest, moves
from services.campaigns.events import News, Recall, news_of
from services.campaigns.lifecycle import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from services.campaigns.domain import CampaignKey
    from services.campaigns.ports import Unit, Units
    from services.kit.events import Incoming

log = logging.getLogger(__name__)


async def apply_news(events: Sequence[Incoming], units: Units) -> None:
    """Move messages up the ladder and count, once per event, in one transaction."""
    async with units() as unit:
        told = [one for event in await unit.inbox.fresh(events) for one in news_of(event)]
        changes = await _take_back([one for one in told if isinstance(one, Recall)], unit)
        for campaign, climbed in (await _climb([one for one in told if isinstance(one, News)], unit)).items():
            changes[campaign].update(climbed)
        await unit.campaigns.count(changes)
        await unit.commit()


async def _take_back(recalls: Iterable[Recall], unit: Unit) -> defaultdict[CampaignKey, Counter[State]]:
    """Have messages wait to be asked for again, or never. Only for the run they are requested under."""
    runs: dict[CampaignKey, dict[UUID, int]] = defaultdict(dict)
    for one in sorted(recalls, key=lambda one: one.run):
        runs[one.message.campaign][one.message.id] = one.run
    changes: defaultdict[CampaignKey, Counter[State]] = defaultdict(Counter)
    for campaign in sorted(runs):
        status = await unit.campaigns.status(campaign)
        to = State.CANCELLED if status is Status.CANCELLED else State.PENDING
        moved = await unit.messages.recall(campaign, runs[campaign], to)
        changes[campaign].update({to: moved, State.QUEUED: -moved})
    return changes


async def _climb(news: Iterable[News], unit: Unit) -> Mapping[CampaignKey, Counter[State]]:
    """Move messages; return how the counts change."""
    states = highest((one.message, one.state) for one in news)
    held = await unit.messages.hold(list(states))
    climbed = moves(held, states)
    await unit.messages.move(climbed)
    if unknown := states.keys() - held.keys():
        campaigns = ", ".join(sorted({str(message.campaign.id) for message in unknown}))
        extra = {"action": "news", "campaign": campaigns}
        log.warning("News of %d unknown messages", len(unknown), extra=extra)
    return differences(climbed)
