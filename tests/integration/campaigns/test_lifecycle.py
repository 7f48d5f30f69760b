"""The life of campaigns, the same on the fake and on Postgres."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from services.campaigns import planning
from services.campaigns.adapters.memory import FakeContactPages, FakeUnits
from services.campaigns.adapters.postgres import PostgresUnits
from services.campaigns.again import request_again
from services.campaigns.commands import ActOnCampaign, CreateCampaign, PlanNextChunk
from services.campaigns.domain import Recipient, State
from services.campaigns.handlers import (
    act_on_campaign,
    clone_campaign,
    create_campaign,
    list_campaigns,
    read_messages,
    read_progress,
)
from services.campaigns.lifecycle import Action, Missed, Stage
from services.campaigns.news import apply_news
from services.campaigns.planning import plan_next_chunk
from services.campaigns.results import csv_of
from services.campaigns.scheduling import look_after
from services.campaigns.timetable import Times
from services.campaigns.windows import Window
from services.contracts.v1 import events_pb2 as v1
from services.kit.database import Database, create_engine
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.events import Incoming, decode
from services.kit.ids import uuid7
from services.kit.settings import DatabaseSettings, ProcessSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from uuid import UUID

    from services.campaigns.ports import Units
    from services.kit.events import Event
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
COMMAND = CreateCampaign("acme", "key-0001", "Welcome", "friends", "Oi {name}!", "main")
CHUNK = PlanNextChunk(chunk=2, lease_seconds=15)
LATER = datetime(2126, 3, 1, 12, tzinfo=UTC)
"""Long after whatever is asked of a campaign while a test runs."""
EVER = datetime(2100, 1, 1, tzinfo=UTC)


class World:
    """Campaigns on some store, a list of contacts, and what was put into the outbox."""

    def __init__(self, units: Units, database: TestDatabase | None) -> None:
        self.units = units
        self._database = database
        everyone = [Recipient(uuid7(), uuid7(), f"+55119{n:08d}", f"P{n}") for n in range(5)]
        self.contacts = FakeContactPages({("acme", "friends"): everyone})

    def events(self) -> list[Any]:
        if self._database is None:
            assert isinstance(self.units, FakeUnits)
            return [each.event for each in self.units.tables.outbox.events]
        lines = self._database.execute(
            "SELECT encode(payload, 'hex') FROM campaigns.outbox ORDER BY id"
        ).splitlines()
        return [decode(bytes.fromhex(line)).event for line in lines]

    def requests(self, run: int = 0) -> list[str]:
        """Return the messages asked for under a run."""
        return [
            each.message_id
            for each in self.events()
            if isinstance(each, v1.MessageRequested) and each.run == run
        ]

    async def plan(self) -> None:
        """Plan until nothing is left or everything waits."""
        for _ in range(30):
            if await plan_next_chunk(CHUNK, self.units, self.contacts) is None:
                return

    async def act(self, campaign: UUID, action: Action) -> Stage:
        return (await act_on_campaign(ActOnCampaign("acme", campaign, action), self.units)).stage

    async def look_after(self, now: datetime = EVER) -> None:
        """Let become of campaigns what is due; by default only what was asked of them has come."""
        for _ in range(10):
            if await look_after(now, self.units) is None:
                return

    async def hear(self, *events: Event) -> None:
        await apply_news([Incoming(uuid7(), "acme", event) for event in events], self.units)

    async def recall(self, campaign: UUID, messages: Iterable[str], run: int = 0) -> None:
        await self.hear(
            *(v1.MessageRecalled(message_id=one, campaign_id=str(campaign), run=run) for one in messages)
        )

    async def accept(self, campaign: UUID, messages: Iterable[str]) -> None:
        await self.hear(*(v1.MessageAccepted(message_id=one, campaign_id=str(campaign)) for one in messages))

    async def deliver(self, campaign: UUID, messages: Iterable[str]) -> None:
        about = [{"message_id": one, "campaign_id": str(campaign)} for one in messages]
        await self.hear(*(v1.StatusChanged(**one, status=v1.STATUS_DELIVERED) for one in about))

    async def look(self, campaign: UUID) -> tuple[Stage, dict[State, int]]:
        """Return stage and counts; the counts are what counting gives."""
        progress = await read_progress("acme", campaign, self.units)
        rows = await read_messages("acme", campaign, None, 100, self.units)
        assert progress.counts == Counter(one.state for one in rows)
        assert len({one.contact_id for one in rows}) == len(rows)
        return progress.stage, dict(progress.counts)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> TestDatabase | None:
    return request.getfixturevalue("test_database") if request.param == "postgres" else None


@pytest.fixture
async def world(store: TestDatabase | None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(planning, "PUT_OFF_SECONDS", 0.0)
    if store is None:
        yield World(FakeUnits(), None)
        return
    settings = DatabaseSettings(database_url=SecretStr(store.url("campaigns")))
    database = Database(create_engine(ProcessSettings(service="campaigns"), settings))
    yield World(PostgresUnits(database), store)
    await database.close()


async def begun(world: World) -> UUID:
    """Create a campaign and plan it."""
    campaign = await create_campaign(COMMAND, world.units)
    await world.plan()
    return campaign


async def test_a_pause_takes_back_what_waits_and_a_resumption_asks_again(world: World) -> None:
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
    first = world.requests()
    await world.hear(*(v1.MessageExpired(message_id=one, campaign_id=str(campaign)) for one in first))
    assert await world.look(campaign) == (Stage.FINISHED, {State.EXPIRED: 5})


async def test_who_left_the_list_meanwhile_is_not_waited_for(world: World) -> None:
    campaign = await begun(world)
    await world.act(campaign, Action.PAUSE)
    await world.recall(campaign, world.requests())
    everyone = world.contacts.lists["acme", "friends"]
    world.contacts.lists = {("acme", "friends"): everyone[:3]}
    await world.act(campaign, Action.RESUME)
    await world.plan()
    assert await world.look(campaign) == (Stage.RUNNING, {State.QUEUED: 3, State.CANCELLED: 2})


async def test_who_joined_the_list_meanwhile_is_not_sent_to(world: World) -> None:
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
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
    campaign = await begun(world)
    await world.deliver(campaign, world.requests()[:1])
    text = "".join([part async for part in csv_of("acme", campaign, 2, world.units)])
    header, *lines = text.splitlines()
    assert header == "message,contact,state,since"
    assert sorted(line.split(",")[0] for line in lines) == sorted(world.requests())
    assert Counter(line.split(",")[2] for line in lines) == {"delivered": 1, "queued": 4}
