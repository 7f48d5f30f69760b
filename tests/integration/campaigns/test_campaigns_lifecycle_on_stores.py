"""Life cycle of campaigns, equal on the fake store and on Postgres."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING

import pytest

from services.campaigns.api.csv_export import export_csv
from services.campaigns.commands import ChangeCampaignState, UpdateCampaign
from services.campaigns.consumers.status_updates import apply_status_updates
from services.campaigns.domain.lifecycle import Action, CampaignState
from services.campaigns.domain.model import MessageState, Recipient
from services.campaigns.domain.schedule_rules import Schedule
from services.campaigns.domain.send_windows import SendWindow
from services.campaigns.fakes import FakeContactsClient
from services.campaigns.handlers import (
    change_campaign_state,
    clone_campaign,
    create_campaign,
    get_campaign_progress,
    list_campaigns,
    update_campaign,
)
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.jobs.republish import republish_requests
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from tests.integration.campaigns.conftest import CHUNK, COMMAND, FUTURE
from tests.servers.event_batches import statuses_updated

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.campaigns.conftest import CampaignsHarness

pytestmark = pytest.mark.integration


async def test_pause_returns_unsent_messages_and_resume_requests_them_again(
    harness: CampaignsHarness,
) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    assert await harness.change_state(campaign, Action.PAUSE) is CampaignState.PAUSED
    event = harness.events()[-1]
    assert (type(event), event.campaign_id, event.run) == (v1.CampaignRunStopped, str(campaign), 0)
    await harness.accept(campaign, first[:2])
    await harness.return_unsent(campaign, first[2:])
    assert await harness.state_and_counts(campaign) == (
        CampaignState.PAUSED,
        {MessageState.PENDING: 3, MessageState.ACCEPTED: 2},
    )
    assert await harness.change_state(campaign, Action.RESUME) is CampaignState.PLANNING
    await harness.plan()
    assert sorted(harness.requests(run=1)) == sorted(first[2:]), "under the same ids, and no others"
    assert await harness.state_and_counts(campaign) == (
        CampaignState.RUNNING,
        {MessageState.QUEUED: 3, MessageState.ACCEPTED: 2},
    )
    await harness.deliver(campaign, first)
    assert await harness.state_and_counts(campaign) == (CampaignState.FINISHED, {MessageState.DELIVERED: 5})


async def test_messages_returned_after_resume_are_requested_again(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.change_state(campaign, Action.RESUME)
    await harness.plan()
    assert await harness.state_and_counts(campaign) == (CampaignState.PLANNING, {MessageState.QUEUED: 5})
    await harness.return_unsent(campaign, first[:3])
    await harness.plan()
    await harness.accept(campaign, first[3:])
    await harness.plan()
    assert sorted(harness.requests(run=1)) == sorted(first[:3])
    assert await harness.state_and_counts(campaign) == (
        CampaignState.RUNNING,
        {MessageState.QUEUED: 3, MessageState.ACCEPTED: 2},
    )


async def test_returned_message_of_an_earlier_run_or_higher_state_is_ignored(
    harness: CampaignsHarness,
) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, first)
    await harness.change_state(campaign, Action.RESUME)
    await harness.plan()
    await harness.accept(campaign, first[:1])
    await harness.return_unsent(campaign, first, run=0)
    await harness.return_unsent(campaign, first[:1], run=1)
    assert await harness.state_and_counts(campaign) == (
        CampaignState.RUNNING,
        {MessageState.QUEUED: 4, MessageState.ACCEPTED: 1},
    )


async def test_pause_during_planning_stops_it_and_loses_no_contact(harness: CampaignsHarness) -> None:
    campaign = await create_campaign(COMMAND, harness.uow_factory)
    await plan_next_chunk(CHUNK, harness.uow_factory, harness.contacts)
    first = harness.requests()
    await harness.change_state(campaign, Action.PAUSE)
    assert await plan_next_chunk(CHUNK, harness.uow_factory, harness.contacts) is None, (
        "a paused campaign is not planned"
    )
    await harness.return_unsent(campaign, first)
    await harness.change_state(campaign, Action.RESUME)
    await harness.plan()
    assert len(harness.requests()) == 2
    assert len(set(harness.requests(run=1))) == len(harness.requests(run=1)) == 5
    assert await harness.state_and_counts(campaign) == (CampaignState.RUNNING, {MessageState.QUEUED: 5})


async def test_planner_writes_nothing_after_a_concurrent_pause(harness: CampaignsHarness) -> None:
    campaign = await create_campaign(COMMAND, harness.uow_factory)

    class PausingClient(FakeContactsClient):
        async def fetch_page(
            self, company: str, list_name: str, after: UUID | None, limit: int
        ) -> tuple[int, list[Recipient]]:
            await harness.change_state(campaign, Action.PAUSE)
            return await super().fetch_page(company, list_name, after, limit)

    assert await plan_next_chunk(CHUNK, harness.uow_factory, PausingClient(harness.contacts.lists)) == 0
    assert await harness.state_and_counts(campaign) == (CampaignState.PAUSED, {})
    assert harness.requests() == []


async def test_cancelled_campaign_cancels_unsent_messages(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, first[:2])
    assert await harness.change_state(campaign, Action.CANCEL) is CampaignState.CANCELLED
    await harness.run_scheduler()
    assert await harness.state_and_counts(campaign) == (
        CampaignState.CANCELLED,
        {MessageState.CANCELLED: 2, MessageState.QUEUED: 3},
    )
    await harness.return_unsent(campaign, first[2:4])
    await harness.deliver(campaign, first[4:])
    assert await harness.state_and_counts(campaign) == (
        CampaignState.CANCELLED,
        {MessageState.CANCELLED: 4, MessageState.DELIVERED: 1},
    )
    assert await harness.change_state(campaign, Action.CANCEL) is CampaignState.CANCELLED, (
        "repeated actions change nothing"
    )
    with pytest.raises(ConflictError, match="cancelled: resume is not allowed; allowed: clone"):
        await harness.change_state(campaign, Action.RESUME)


async def test_expired_messages_are_final(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    await harness.consume(
        *(v1.MessageExpired(message_id=message, campaign_id=str(campaign)) for message in first)
    )
    assert await harness.state_and_counts(campaign) == (CampaignState.FINISHED, {MessageState.EXPIRED: 5})


async def test_messages_of_contacts_that_left_the_list_are_cancelled(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, harness.requests())
    recipients = harness.contacts.lists["acme", "friends"]
    harness.contacts.lists = {("acme", "friends"): recipients[:3]}
    await harness.change_state(campaign, Action.RESUME)
    await harness.plan()
    assert await harness.state_and_counts(campaign) == (
        CampaignState.RUNNING,
        {MessageState.QUEUED: 3, MessageState.CANCELLED: 2},
    )


async def test_contacts_added_after_planning_get_no_message(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, harness.requests())
    new = Recipient(uuid7(), uuid7(), "+5511999999999", "New")
    harness.contacts.lists = {("acme", "friends"): [*harness.contacts.lists["acme", "friends"], new]}
    await harness.change_state(campaign, Action.RESUME)
    await harness.plan()
    assert await harness.state_and_counts(campaign) == (CampaignState.RUNNING, {MessageState.QUEUED: 5})


async def test_draft_is_not_planned_until_started(harness: CampaignsHarness) -> None:
    campaign = await create_campaign(replace(COMMAND, start=False), harness.uow_factory)
    await harness.plan()
    assert await harness.state_and_counts(campaign) == (CampaignState.DRAFT, {})
    with pytest.raises(ConflictError, match="draft: pause is not allowed; allowed: start or cancel"):
        await harness.change_state(campaign, Action.PAUSE)
    assert await harness.change_state(campaign, Action.START) is CampaignState.PLANNING
    await harness.plan()
    assert await harness.state_and_counts(campaign) == (CampaignState.RUNNING, {MessageState.QUEUED: 5})
    assert await harness.change_state(campaign, Action.START) is CampaignState.RUNNING, (
        "repeated actions change nothing"
    )


async def test_only_campaigns_that_have_not_started_can_be_updated(harness: CampaignsHarness) -> None:
    campaign = await create_campaign(replace(COMMAND, start=False), harness.uow_factory)
    spec = {**vars(replace(COMMAND, name="Second", text="Hi {name}!"))}
    del spec["idempotency_key"], spec["start"]
    command = UpdateCampaign(**spec, campaign_id=campaign)
    scheduled = replace(command, schedule=Schedule(start_at=FUTURE))
    assert (await update_campaign(scheduled, harness.uow_factory)).state is CampaignState.SCHEDULED
    assert (await update_campaign(command, harness.uow_factory)).state is CampaignState.DRAFT, (
        "without a start time it is a draft"
    )
    with pytest.raises(InvalidError, match="unknown"):
        await update_campaign(replace(command, text="Hi {nome}!"), harness.uow_factory)
    with pytest.raises(NotFoundError):
        await update_campaign(replace(command, company="other"), harness.uow_factory)
    await harness.change_state(campaign, Action.START)
    await harness.plan()
    assert {event.text for event in harness.events()} == {f"Hi P{n}!" for n in range(5)}
    with pytest.raises(ConflictError, match="running: only drafts and scheduled campaigns can be changed"):
        await update_campaign(command, harness.uow_factory)
    assert (await get_campaign_progress("acme", campaign, harness.uow_factory)).campaign.name == "Second"
    assert await create_campaign(replace(COMMAND, start=False), harness.uow_factory) == campaign, (
        "the key is still used"
    )


async def test_contacts_get_text_variants_with_their_names(harness: CampaignsHarness) -> None:
    variables = {"name": "friend", "shop": "Acme"}
    command = replace(COMMAND, text="Oi {name}, {shop}!", text_variants=("Hi {name}!",), variables=variables)
    await create_campaign(command, harness.uow_factory)
    await harness.plan()
    texts = {event.text for event in harness.events()}
    assert texts <= {f"Oi P{n}, Acme!" for n in range(5)} | {f"Hi P{n}!" for n in range(5)}
    assert len(texts) == 5


async def test_all_validation_errors_are_returned(harness: CampaignsHarness) -> None:
    window = SendWindow("Mars/Olympus", frozenset({9}), time(9), time(18))
    invalid = replace(
        COMMAND,
        text="Oi {nome}",
        text_variants=(" ",),
        variables={"shop": "x"},
        schedule=Schedule(window=window),
    )
    with pytest.raises(InvalidError) as error_info:
        await create_campaign(invalid, harness.uow_factory)
    for error in ("text 1 has unknown", "text 2 is empty", "variable shop", "Mars", "days"):
        assert error in str(error_info.value)
    assert await list_campaigns("acme", None, 10, harness.uow_factory) == []


async def test_clone_creates_a_draft(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    clone = await clone_campaign("acme", campaign, "key-0002", harness.uow_factory)
    assert await clone_campaign("acme", campaign, "key-0002", harness.uow_factory) == clone != campaign
    original = await get_campaign_progress("acme", campaign, harness.uow_factory)
    draft = await get_campaign_progress("acme", clone, harness.uow_factory)
    assert draft.state is CampaignState.DRAFT
    assert replace(original.campaign, id=clone) == draft.campaign


async def test_campaigns_are_paged_newest_first(harness: CampaignsHarness) -> None:
    created = [
        await create_campaign(replace(COMMAND, idempotency_key=f"key-{number:04d}"), harness.uow_factory)
        for number in range(5)
    ]
    await create_campaign(replace(COMMAND, company="other"), harness.uow_factory)
    first = await list_campaigns("acme", None, 3, harness.uow_factory)
    rest = await list_campaigns("acme", first[-1].campaign.id, 3, harness.uow_factory)
    assert [progress.campaign.id for progress in [*first, *rest]] == sorted(created, reverse=True)


async def test_campaigns_of_other_companies_cannot_be_changed(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    for action in Action:
        with pytest.raises(NotFoundError):
            await change_campaign_state(ChangeCampaignState("other", campaign, action), harness.uow_factory)
    returned = [
        v1.MessageReturned(message_id=message, campaign_id=str(campaign)) for message in harness.requests()
    ]
    await apply_status_updates(
        [InboundEvent(uuid7(), "other", statuses_updated(*returned))], harness.uow_factory
    )
    assert await harness.state_and_counts(campaign) == (CampaignState.RUNNING, {MessageState.QUEUED: 5})


async def test_republishing_a_paused_campaign_stops_its_run_again(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    first = harness.requests()
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, first[:2])
    before = len(harness.events())
    assert await republish_requests(2, harness.uow_factory, harness.contacts) == 3
    stopped, *requests = harness.events()[before:]
    assert (type(stopped), stopped.run) == (v1.CampaignRunStopped, 0)
    assert sorted(request.message_id for request in requests) == sorted(first[2:])
    assert {request.run for request in requests} == {0}, "under their own run, so that they are returned"


async def test_csv_export_has_a_line_per_message(harness: CampaignsHarness) -> None:
    campaign = await harness.start_campaign()
    await harness.deliver(campaign, harness.requests()[:1])
    text = "".join([lines async for lines in export_csv("acme", campaign, 2, harness.uow_factory)])
    header, *lines = text.splitlines()
    assert header == "message_id,contact_id,state,state_changed_at"
    assert sorted(line.split(",")[0] for line in lines) == sorted(harness.requests())
    assert Counter(line.split(",")[2] for line in lines) == {"delivered": 1, "queued": 4}
