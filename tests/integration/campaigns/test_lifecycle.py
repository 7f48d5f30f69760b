"""The life of campaigns, the same on the fake and on Postgres."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING

import pytest

from services.campaigns.adapters.memory import FakeContactPages
from services.campaigns.again import request_again
from services.campaigns.commands import ActOnCampaign, ChangeCampaign
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import (
    act_on_campaign,
    change_campaign,
    clone_campaign,
    create_campaign,
    list_campaigns,
    read_progress,
)
from services.campaigns.lifecycle import Action, Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.campaigns.results import csv_of
from services.campaigns.timetable import Times
from services.campaigns.windows import Window
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.events import Incoming
from services.kit.ids import uuid7
from tests.integration.campaigns.conftest import CHUNK, COMMAND, LATER

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.campaigns.conftest import World

pytestmark = pytest.mark.integration


async def test_a_pause_takes_back_what_waits_and_a_resumption_asks_again(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    assert await world.act(campaign, Action.PAUSE) is Stage.PAUSED
    halt = world.events()[-1]
    assert (type(halt), halt.campaign_id, halt.run) == (v1.CampaignHalted, str(campaign), 0)
    await world.accept(campaign, first[:2])
    await world.recall(campaign, first[2:])
    assert await world.look(campaign) == (Stage.PAUSED, {State.PENDING: 3, State.ACCEPTED: 2})
    assert await world.act(campaign, Action.RESUME) is Stage.PLANNING
    await world.plan()
    assert sorted(world.requests(run=1)) == sorted(first[2:]), "under the same ids, and nobody else"
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 3, State.ACCEPTED: 2})
    await world.deliver(campaign, first)
    assert await world.look(campaign) == (Stage.FINISHED, {State.DELIVERED: 5})


async def test_what_comes_back_after_the_resumption_is_asked_for_too(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    await world.act(campaign, Action.PAUSE)
    await world.act(campaign, Action.RESUME)
    await world.plan()
    assert await world.look(campaign) == (Stage.PLANNING, {State.QUEUED: 5})
    await world.recall(campaign, first[:3])
    await world.plan()
    await world.accept(campaign, first[3:])
    await world.plan()
    assert sorted(world.requests(run=1)) == sorted(first[:3])
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 3, State.ACCEPTED: 2})


async def test_a_recall_of_an_earlier_run_and_one_after_better_news_change_nothing(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, first)
    await world.act(campaign, Action.RESUME)
    await world.plan()
    await world.accept(campaign, first[:1])
    await world.recall(campaign, first, run=0)
    await world.recall(campaign, first[:1], run=1)
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 4, State.ACCEPTED: 1})


async def test_a_pause_amid_planning_stops_it_and_loses_nobody(world: World) -> None:
    campaign = await create_campaign(COMMAND, world.units)
    await plan_next_chunk(CHUNK, world.units, world.contacts)
    first = world.requests()
    await world.act(campaign, Action.PAUSE)
    assert await plan_next_chunk(CHUNK, world.units, world.contacts) is None, "nobody plans it"
    await world.recall(campaign, first)
    await world.act(campaign, Action.RESUME)
    await world.plan()
    assert len(world.requests()) == 2
    assert len(set(world.requests(run=1))) == len(world.requests(run=1)) == 5
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 5})


async def test_a_planner_at_work_when_the_pause_comes_writes_nothing(world: World) -> None:
    campaign = await create_campaign(COMMAND, world.units)

    class Paused(FakeContactPages):
        async def page(
            self, company: str, list_name: str, after: UUID | None, limit: int
        ) -> tuple[int, list[Recipient]]:
            await world.act(campaign, Action.PAUSE)
            return await super().page(company, list_name, after, limit)

    assert await plan_next_chunk(CHUNK, world.units, Paused(world.contacts.lists)) == 0
    assert await world.look(campaign) == (Stage.PAUSED, {})
    assert world.requests() == []


async def test_a_cancelled_campaign_never_sends_what_was_not_begun(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, first[:2])
    assert await world.act(campaign, Action.CANCEL) is Stage.CANCELLED
    await world.look_after()
    assert await world.look(campaign) == (Stage.CANCELLED, {State.CANCELLED: 2, State.QUEUED: 3})
    await world.recall(campaign, first[2:4])
    await world.deliver(campaign, first[4:])
    assert await world.look(campaign) == (Stage.CANCELLED, {State.CANCELLED: 4, State.DELIVERED: 1})
    assert await world.act(campaign, Action.CANCEL) is Stage.CANCELLED, "asked once more nothing changes"
    with pytest.raises(ConflictError, match="cancelled, so resume is not possible; clone is"):
        await world.act(campaign, Action.RESUME)


async def test_an_expired_message_is_settled(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    await world.hear(*(v1.MessageExpired(message_id=one, campaign_id=str(campaign)) for one in first))
    assert await world.look(campaign) == (Stage.FINISHED, {State.EXPIRED: 5})


async def test_who_left_the_list_meanwhile_is_not_waited_for(world: World) -> None:
    campaign = await world.begun()
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, world.requests())
    everyone = world.contacts.lists["acme", "friends"]
    world.contacts.lists = {("acme", "friends"): everyone[:3]}
    await world.act(campaign, Action.RESUME)
    await world.plan()
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 3, State.CANCELLED: 2})


async def test_who_joined_the_list_meanwhile_is_not_sent_to(world: World) -> None:
    campaign = await world.begun()
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, world.requests())
    new = Recipient(uuid7(), uuid7(), "+5511999999999", "New")
    world.contacts.lists = {("acme", "friends"): [*world.contacts.lists["acme", "friends"], new]}
    await world.act(campaign, Action.RESUME)
    await world.plan()
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 5})


async def test_a_draft_waits_until_it_is_started(world: World) -> None:
    campaign = await create_campaign(replace(COMMAND, start=False), world.units)
    await world.plan()
    assert await world.look(campaign) == (Stage.DRAFT, {})
    with pytest.raises(ConflictError, match="draft, so pause is not possible; start or cancel is"):
        await world.act(campaign, Action.PAUSE)
    assert await world.act(campaign, Action.START) is Stage.PLANNING
    await world.plan()
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 5})
    assert await world.act(campaign, Action.START) is Stage.RUNNING, "asked once more nothing changes"


async def test_what_has_not_begun_can_be_changed_and_what_has_cannot(world: World) -> None:
    campaign = await create_campaign(replace(COMMAND, start=False), world.units)
    content = {**vars(replace(COMMAND, name="Second", text="Hi {name}!"))}
    del content["key"], content["start"]
    change = ChangeCampaign(**content, campaign_id=campaign)
    later = replace(change, times=Times(start_at=LATER))
    assert (await change_campaign(later, world.units)).stage is Stage.SCHEDULED
    assert (await change_campaign(change, world.units)).stage is Stage.DRAFT, "without a time it is a draft"
    with pytest.raises(InvalidError, match="unknown"):
        await change_campaign(replace(change, text="Hi {nome}!"), world.units)
    with pytest.raises(NotFoundError):
        await change_campaign(replace(change, company="other"), world.units)
    await world.act(campaign, Action.START)
    await world.plan()
    assert {event.text for event in world.events()} == {f"Hi P{n}!" for n in range(5)}
    with pytest.raises(ConflictError, match="running: only what has not begun can be changed"):
        await change_campaign(change, world.units)
    assert (await read_progress("acme", campaign, world.units)).campaign.name == "Second"
    assert await create_campaign(replace(COMMAND, start=False), world.units) == campaign, "its key is its own"


async def test_each_contact_has_its_variation_with_its_name(world: World) -> None:
    variables = {"name": "friend", "shop": "Acme"}
    command = replace(COMMAND, text="Oi {name}, {shop}!", more_texts=("Hi {name}!",), variables=variables)
    await create_campaign(command, world.units)
    await world.plan()
    texts = {event.text for event in world.events()}
    assert texts <= {f"Oi P{n}, Acme!" for n in range(5)} | {f"Hi P{n}!" for n in range(5)}
    assert len(texts) == 5


async def test_all_that_is_wrong_with_a_campaign_is_said_at_once(world: World) -> None:
    window = Window("Mars/Olympus", frozenset({9}), time(9), time(18))
    wrong = replace(
        COMMAND, text="Oi {nome}", more_texts=(" ",), variables={"shop": "x"}, times=Times(window=window)
    )
    with pytest.raises(InvalidError) as refused:
        await create_campaign(wrong, world.units)
    for problem in ("text 1 has unknown", "text 2 is empty", "variable shop", "Mars", "days"):
        assert problem in str(refused.value)
    assert await list_campaigns("acme", None, 10, world.units) == []


async def test_a_clone_is_a_draft_of_its_own(world: World) -> None:
    campaign = await world.begun()
    made = await clone_campaign("acme", campaign, "key-0002", world.units)
    assert await clone_campaign("acme", campaign, "key-0002", world.units) == made != campaign
    first, second = [await read_progress("acme", one, world.units) for one in (campaign, made)]
    assert second.stage is Stage.DRAFT
    assert replace(first.campaign, id=made) == second.campaign


async def test_campaigns_are_listed_by_page_the_newest_first(world: World) -> None:
    made = [
        await create_campaign(replace(COMMAND, key=f"key-{place:04d}"), world.units) for place in range(5)
    ]
    await create_campaign(replace(COMMAND, company="other"), world.units)
    first = await list_campaigns("acme", None, 3, world.units)
    rest = await list_campaigns("acme", first[-1].campaign.id, 3, world.units)
    assert [one.campaign.id for one in [*first, *rest]] == sorted(made, reverse=True)


async def test_nobody_acts_on_campaigns_of_others(world: World) -> None:
    campaign = await world.begun()
    for action in Action:
        with pytest.raises(NotFoundError):
            await act_on_campaign(ActOnCampaign("other", campaign, action), world.units)
    await apply_news(
        [
            Incoming(uuid7(), "other", v1.MessageRecalled(message_id=one, campaign_id=str(campaign)))
            for one in world.requests()
        ],
        world.units,
    )
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 5})


async def test_after_a_loss_a_paused_campaign_is_halted_again_and_asks_for_news(world: World) -> None:
    campaign = await world.begun()
    first = world.requests()
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, first[:2])
    before = len(world.events())
    assert await request_again(2, world.units, world.contacts) == 3
    halt, *asked = world.events()[before:]
    assert (type(halt), halt.run) == (v1.CampaignHalted, 0)
    assert sorted(one.message_id for one in asked) == sorted(first[2:])
    assert {one.run for one in asked} == {0}, "under their own run, so that they come back"


async def test_results_have_a_line_for_each_message(world: World) -> None:
    campaign = await world.begun()
    await world.deliver(campaign, world.requests()[:1])
    text = "".join([part async for part in csv_of("acme", campaign, 2, world.units)])
    header, *lines = text.splitlines()
    assert header == "message,contact,state,since"
    assert sorted(line.split(",")[0] for line in lines) == sorted(world.requests())
    assert Counter(line.split(",")[2] for line in lines) == {"delivered": 1, "queued": 4}
