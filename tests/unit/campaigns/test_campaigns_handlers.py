"""Handlers of campaigns on fakes: what is stored, not what was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.campaigns.adapters.memory import FakeContactPages, FakeUnits
from services.campaigns.again import request_again
from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import create_campaign, read_messages, read_progress
from services.campaigns.lifecycle import Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.events import Event, Incoming
from services.kit.ids import uuid7
from tests.controllers.told import single

if TYPE_CHECKING:
    from uuid import UUID

COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", key="key-1")
CHUNK = PlanNextChunk(chunk=2, lease_seconds=15)


def people(count: int) -> list[Recipient]:
    return [Recipient(uuid7(), uuid7(), f"+55119100000{number:02d}", f"P{number}") for number in range(count)]


def incoming(event: Event, company: str = "acme") -> Incoming:
    return Incoming(uuid7(), company, event)


def requests(units: FakeUnits) -> list[Any]:
    return single(event.event for event in units.tables.outbox.events)


async def planned(count: int = 5) -> tuple[FakeUnits, UUID, list[str]]:
    units = FakeUnits()
    campaign = await create_campaign(COMMAND, units)
    contacts = FakeContactPages({("acme", "friends"): people(count)})
    while await plan_next_chunk(CHUNK, units, contacts) is not None:
        pass
    return units, campaign, [request.message_id for request in requests(units)]


async def test_the_same_key_makes_one_campaign() -> None:
    units = FakeUnits()
    first = await create_campaign(COMMAND, units)
    assert await create_campaign(COMMAND, units) == first
    with pytest.raises(ConflictError):
        await create_campaign(CreateCampaign("acme", "Other", "friends", "Oi", "main", key="key-1"), units)
    assert (
        await create_campaign(CreateCampaign("other", "Other", "friends", "Oi", "main", key="key-1"), units)
        != first
    )


async def test_a_text_that_cannot_be_sent_makes_none() -> None:
    units = FakeUnits()
    with pytest.raises(InvalidError):
        await create_campaign(CreateCampaign("acme", "n", "friends", "Oi {nome}", "main", key="key-1"), units)
    assert units.tables.plans == {}


async def test_planning_ends_with_one_request_per_contact() -> None:
    units, campaign, ids = await planned(5)
    progress = await read_progress("acme", campaign, units)
    assert (progress.stage, progress.planned, progress.total) == (Stage.RUNNING, 5, 5)
    assert progress.counts == {State.QUEUED: 5}
    assert [str(one.message_id) for one in await read_messages("acme", campaign, None, 9, units)] == sorted(
        ids
    )
    event = units.tables.outbox.events[0]
    assert (event.topic.name, event.key, event.company) == ("message.requested", "acme/main", "acme")
    assert requests(units)[0].text == "Oi P0!"


async def test_a_list_whose_size_is_a_multiple_of_the_chunk_ends_too() -> None:
    units, campaign, ids = await planned(4)
    assert len(ids) == 4
    assert (await read_progress("acme", campaign, units)).stage is Stage.RUNNING


async def test_an_empty_list_is_finished_at_once() -> None:
    units, campaign, _ = await planned(0)
    assert (await read_progress("acme", campaign, units)).stage is Stage.FINISHED


async def test_a_missing_list_fails_the_campaign_with_a_reason() -> None:
    units = FakeUnits()
    campaign = await create_campaign(COMMAND, units)
    assert await plan_next_chunk(CHUNK, units, FakeContactPages({})) == 0
    progress = await read_progress("acme", campaign, units)
    assert (progress.stage, progress.failure) == (Stage.FAILED, "there is no such list")


async def test_planning_waits_while_contacts_are_away() -> None:
    units = FakeUnits()
    campaign = await create_campaign(COMMAND, units)
    contacts = FakeContactPages({("acme", "friends"): people(3)})
    contacts.away = True
    assert await plan_next_chunk(CHUNK, units, contacts) == 0
    assert await plan_next_chunk(CHUNK, units, contacts) is None
    assert (await read_progress("acme", campaign, units)).stage is Stage.PLANNING


async def test_a_planner_whose_lease_ended_writes_nothing() -> None:
    units = FakeUnits()
    await create_campaign(COMMAND, units)
    slow, contacts = units, FakeContactPages({("acme", "friends"): people(3)})

    class Overtaken(FakeContactPages):
        async def page(self, company, list_name, after, limit):  # noqa: ANN001, ANN202 - as the class it stands for
            row = next(iter(units.tables.plans.values()))
            row.leased_until = 0.0
            while await plan_next_chunk(CHUNK, units, contacts) is not None:
                pass
            return await super().page(company, list_name, after, limit)

    assert await plan_next_chunk(CHUNK, slow, Overtaken(contacts.lists)) == 0
    assert len(requests(units)) == 3


async def test_campaigns_take_turns() -> None:
    units = FakeUnits()
    for key in ("key-1", "key-2"):
        await create_campaign(CreateCampaign("acme", key, "friends", key, "main", key=key), units)
    contacts = FakeContactPages({("acme", "friends"): people(5)})
    for _ in range(4):
        await plan_next_chunk(CHUNK, units, contacts)
    texts = [request.text for request in requests(units)]
    assert sorted(texts) == ["key-1"] * 4 + ["key-2"] * 4


async def test_news_move_messages_once() -> None:
    units, campaign, ids = await planned(5)
    accepted = [incoming(v1.MessageAccepted(message_id=one, campaign_id=str(campaign))) for one in ids[:3]]
    sent = incoming(
        v1.StatusChanged(message_id=ids[0], campaign_id=str(campaign), status=v1.STATUS_DELIVERED)
    )
    failed = incoming(v1.MessageFailed(message_id=ids[3], campaign_id=str(campaign), code=131026))
    lost = incoming(v1.MessageUncertain(message_id=ids[4], campaign_id=str(campaign)))
    await apply_news([sent, *accepted, failed, lost, failed], units)
    await apply_news([*accepted, sent], units)
    progress = await read_progress("acme", campaign, units)
    assert progress.counts == {State.ACCEPTED: 2, State.DELIVERED: 1, State.FAILED: 1, State.UNCERTAIN: 1}


async def test_an_uncertain_message_is_resolved_by_its_callback() -> None:
    units, campaign, ids = await planned(1)
    await apply_news([incoming(v1.MessageUncertain(message_id=ids[0], campaign_id=str(campaign)))], units)
    assert (await read_progress("acme", campaign, units)).counts == {State.UNCERTAIN: 1}
    news = v1.StatusChanged(message_id=ids[0], campaign_id=str(campaign), status=v1.STATUS_SENT)
    await apply_news([incoming(news)], units)
    assert (await read_progress("acme", campaign, units)).counts == {State.SENT: 1}


async def test_news_of_others_and_of_unknown_messages_change_nothing() -> None:
    units, campaign, ids = await planned(1)
    stranger = incoming(v1.MessageAccepted(message_id=ids[0], campaign_id=str(campaign)), company="other")
    unknown = incoming(v1.MessageAccepted(message_id=str(uuid7()), campaign_id=str(campaign)))
    strange = incoming(v1.StatusChanged(message_id=ids[0], campaign_id=str(campaign)))
    await apply_news([stranger, unknown, strange], units)
    assert (await read_progress("acme", campaign, units)).counts == {State.QUEUED: 1}


async def test_another_company_sees_nothing() -> None:
    units, campaign, _ = await planned(1)
    with pytest.raises(NotFoundError):
        await read_messages("other", campaign, None, 10, units)


async def test_what_may_have_been_lost_is_requested_again_under_its_own_id() -> None:
    units = FakeUnits()
    campaign = await create_campaign(COMMAND, units)
    contacts = FakeContactPages({("acme", "friends"): people(5)})
    while await plan_next_chunk(CHUNK, units, contacts) is not None:
        pass
    ids = sorted(request.message_id for request in requests(units))
    await apply_news(
        [incoming(v1.StatusChanged(message_id=ids[0], campaign_id=str(campaign), status=3))], units
    )
    units.tables.outbox.events.clear()
    assert await request_again(2, units, contacts) == 4
    again = requests(units)
    assert sorted(request.message_id for request in again) == ids[1:]
    assert {request.to for request in again} <= {one.phone for one in contacts.lists["acme", "friends"]}
    assert (await read_progress("acme", campaign, units)).planned == 5


async def test_a_list_that_is_gone_is_left_alone() -> None:
    units, _, _ = await planned(3)
    before = len(units.tables.outbox.events)
    assert await request_again(2, units, FakeContactPages({})) == 0
    assert len(units.tables.outbox.events) == before
