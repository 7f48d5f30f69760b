"""What becomes of campaigns by themselves, the same on the fake and on Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta
from typing import TYPE_CHECKING

import pytest

from services.campaigns.domain import State
from services.campaigns.handlers import (
    create_campaign,
    read_progress,
)
from services.campaigns.lifecycle import Action, Missed, Stage
from services.campaigns.timetable import Times
from services.campaigns.windows import Window
from services.contracts.v1 import events_pb2 as v1
from tests.integration.campaigns.conftest import COMMAND, LATER

if TYPE_CHECKING:
    from tests.integration.campaigns.conftest import World

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("missed", "late", "stage"),
    [
        (Missed.SKIP, 200, Stage.PLANNING),
        (Missed.LATE, 3600, Stage.PLANNING),
        (Missed.SKIP, 3600, Stage.CANCELLED),
        (Missed.ASK, 3600, Stage.DRAFT),
    ],
)
async def test_a_schedule_is_kept_or_what_was_wished_for_when_it_is_missed(
    world: World, missed: Missed, late: float, stage: Stage
) -> None:
    times = Times(start_at=LATER, missed=missed)
    campaign = await create_campaign(replace(COMMAND, times=times), world.units)
    await world.look_after(LATER - timedelta(seconds=1))
    assert await world.look(campaign) == (Stage.SCHEDULED, {})
    await world.look_after(LATER + timedelta(seconds=late))
    found = await read_progress("acme", campaign, world.units)
    assert (found.stage, found.times) == (stage, times)
    assert (found.note is None) == (stage is Stage.PLANNING)
    await world.plan()
    assert len(world.requests()) == (5 if stage is Stage.PLANNING else 0)


async def test_outside_of_its_window_a_campaign_waits_and_what_was_not_begun_goes_out_in_the_next(
    world: World,
) -> None:
    window = Window("UTC", frozenset(range(7)), time(9), time(18))
    campaign = await create_campaign(replace(COMMAND, times=Times(window=window)), world.units)
    await world.plan()
    await world.look_after(LATER.replace(hour=8))
    assert await world.look(campaign) == (Stage.WAITING, {}), "nothing before the window"
    await world.look_after(LATER.replace(hour=9))
    await world.plan()
    first = world.requests(run=1)
    assert len(first) == 5
    ends = {event.not_after.ToDatetime(UTC) for event in world.events()}
    assert ends == {LATER.replace(hour=18)}, "whatsapp hands back by itself what it did not begin"
    await world.accept(campaign, first[:2])
    await world.look_after(LATER.replace(hour=18))
    await world.recall(campaign, first[2:], run=1)
    assert await world.look(campaign) == (Stage.WAITING, {State.PENDING: 3, State.ACCEPTED: 2})
    await world.plan()
    await world.look_after(LATER.replace(hour=9) + timedelta(days=1))
    await world.plan()
    assert sorted(world.requests(run=2)) == sorted(first[2:])
    await world.deliver(campaign, first)
    await world.look_after(LATER + timedelta(days=3))
    assert (await world.look(campaign))[0] is Stage.FINISHED, "and what has ended waits for no window"


async def test_a_pause_outlasts_windows(world: World) -> None:
    window = Window("UTC", frozenset(range(7)), time(9), time(18))
    campaign = await create_campaign(replace(COMMAND, times=Times(window=window)), world.units)
    await world.look_after(LATER.replace(hour=8))
    assert await world.act(campaign, Action.PAUSE) is Stage.PAUSED
    await world.look_after(LATER.replace(hour=9))
    assert (await world.look(campaign))[0] is Stage.PAUSED
    assert await world.act(campaign, Action.RESUME) is Stage.WAITING
    await world.look_after(LATER.replace(hour=10))
    await world.plan()
    assert (await world.look(campaign))[0] is Stage.RUNNING


async def test_what_is_not_begun_when_a_campaign_expires_never_is(world: World) -> None:
    times = Times(expires_at=LATER)
    campaign = await create_campaign(replace(COMMAND, times=times), world.units)
    await world.plan()
    first = world.requests()
    assert {event.expires_at.ToDatetime(UTC) for event in world.events()} == {LATER}
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, first[:2])
    await world.look_after(LATER)
    await world.hear(*(v1.MessageExpired(message_id=one, campaign_id=str(campaign)) for one in first[2:]))
    counts = {State.CANCELLED: 2, State.EXPIRED: 3}
    assert await world.look(campaign) == (Stage.CANCELLED, counts)
    assert "expired at" in str((await read_progress("acme", campaign, world.units)).note)
