"""What becomes of news about messages: they climb, or come back when they were not begun."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from services.campaigns.domain import State, differences, highest, moves
from services.campaigns.events import News, Recall, news_of
from services.campaigns.lifecycle import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from services.campaigns.ports import Unit, Units
    from services.kit.events import Incoming

One = TypeVar("One", News, Recall)
log = logging.getLogger(__name__)


async def apply_news(events: Sequence[Incoming], units: Units) -> None:
    """Move messages up the ladder and count, once per event, in one transaction."""
    async with units() as unit:
        fresh = await unit.inbox.fresh(events)
        told = [one for event in fresh for one in news_of(event)]
        news = _by_campaign(one for one in told if isinstance(one, News))
        recalls = _by_campaign(one for one in told if isinstance(one, Recall))
        # One order everywhere, of campaigns and inside of each: two workers never wait for each other.
        for company, campaign_id in sorted({*news, *recalls}):
            if taken_back := recalls.get((company, campaign_id)):
                await _take_back(company, campaign_id, taken_back, unit)
            if climbing := news.get((company, campaign_id)):
                await _climb(company, campaign_id, climbing, unit)
        await unit.commit()


async def _take_back(company: str, campaign_id: UUID, recalls: Iterable[Recall], unit: Unit) -> None:
    """Have messages wait to be asked for again, or never. Only for the run they are requested under."""
    status = await unit.campaigns.status(company, campaign_id)
    to = State.CANCELLED if status is Status.CANCELLED else State.PENDING
    runs = {one.message_id: one.run for one in sorted(recalls, key=lambda one: one.run)}
    moved = await unit.messages.recall(company, campaign_id, runs, to)
    if moved:
        await unit.campaigns.count(company, campaign_id, {to: moved, State.QUEUED: -moved})


async def _climb(company: str, campaign_id: UUID, news: Iterable[News], unit: Unit) -> None:
    """Move the messages of one campaign."""
    states = highest((one.message_id, one.state) for one in news)
    held = await unit.messages.hold(company, campaign_id, sorted(states))
    climbed = moves(held, states)
    if climbed:
        await unit.messages.move(company, campaign_id, climbed)
        await unit.campaigns.count(company, campaign_id, differences(climbed))
    if len(held) < len(states):
        log.warning(
            "News of %d unknown messages",
            len(states) - len(held),
            extra={"action": "news", "campaign": campaign_id},
        )


def _by_campaign(news: Iterable[One]) -> dict[tuple[str, UUID], list[One]]:
    groups: dict[tuple[str, UUID], list[One]] = defaultdict(list)
    for one in news:
        groups[one.company, one.campaign_id].append(one)
    return groups
