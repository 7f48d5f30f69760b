"""Handlers of campaigns on fakes; assertions are on the stored state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.campaigns.commands import CreateCampaign, PlanNextChunk
from services.campaigns.consumers.status_updates import apply_status_updates
from services.campaigns.domain.lifecycle import CampaignState
from services.campaigns.domain.model import MessageState, Recipient
from services.campaigns.fakes import FakeContactsClient, FakeUnitOfWorkFactory
from services.campaigns.handlers import create_campaign, get_campaign_progress, list_messages
from services.campaigns.jobs.planning import plan_next_chunk
from services.campaigns.jobs.republish import republish_requests
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError, InvalidError, NotFoundError
from services.kit.ids import uuid7
from services.kit.kafka.envelope import InboundEvent
from tests.servers.event_batches import flatten, statuses_updated

if TYPE_CHECKING:
    from uuid import UUID

    from tests.servers.event_batches import StatusUpdate

COMMAND = CreateCampaign("acme", "Welcome", "friends", "Oi {name}!", "main", idempotency_key="key-1")
CHUNK = PlanNextChunk(chunk_size=2, lease_seconds=15)


def recipients(count: int) -> list[Recipient]:
    return [Recipient(uuid7(), uuid7(), f"+55119100000{number:02d}", f"P{number}") for number in range(count)]


def incoming(update: StatusUpdate, company: str = "acme") -> InboundEvent:
    return InboundEvent(uuid7(), company, statuses_updated(update))


def requests(uow_factory: FakeUnitOfWorkFactory) -> list[Any]:
    return flatten(event.event for event in uow_factory.tables.outbox.events)


async def planned(count: int = 5) -> tuple[FakeUnitOfWorkFactory, UUID, list[str]]:
    uow_factory = FakeUnitOfWorkFactory()
    campaign = await create_campaign(COMMAND, uow_factory)
    contacts = FakeContactsClient({("acme", "friends"): recipients(count)})
    while await plan_next_chunk(CHUNK, uow_factory, contacts) is not None:
        pass
    return uow_factory, campaign, [request.message_id for request in requests(uow_factory)]


async def test_same_idempotency_key_creates_one_campaign() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    first = await create_campaign(COMMAND, uow_factory)
    assert await create_campaign(COMMAND, uow_factory) == first
    with pytest.raises(ConflictError):
        await create_campaign(
            CreateCampaign("acme", "Other", "friends", "Oi", "main", idempotency_key="key-1"), uow_factory
        )
    other_company = CreateCampaign("other", "Other", "friends", "Oi", "main", idempotency_key="key-1")
    assert await create_campaign(other_company, uow_factory) != first


async def test_invalid_template_creates_nothing() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    with pytest.raises(InvalidError):
        await create_campaign(
            CreateCampaign("acme", "n", "friends", "Oi {nome}", "main", idempotency_key="key-1"), uow_factory
        )
    assert uow_factory.tables.plans == {}


async def test_planning_requests_one_message_per_contact() -> None:
    uow_factory, campaign, ids = await planned(5)
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert (progress.state, progress.planned, progress.total) == (CampaignState.RUNNING, 5, 5)
    assert progress.counts == {MessageState.QUEUED: 5}
    messages = await list_messages("acme", campaign, None, 9, uow_factory)
    assert [str(message.message_id) for message in messages] == sorted(ids)
    event = uow_factory.tables.outbox.events[0]
    assert (event.topic.name, event.key, event.company) == ("message.requested", "acme/main", "acme")
    assert requests(uow_factory)[0].text == "Oi P0!"


async def test_planning_ends_when_list_size_is_a_multiple_of_the_chunk_size() -> None:
    uow_factory, campaign, ids = await planned(4)
    assert len(ids) == 4
    assert (await get_campaign_progress("acme", campaign, uow_factory)).state is CampaignState.RUNNING


async def test_campaign_with_an_empty_list_is_finished() -> None:
    uow_factory, campaign, _ = await planned(0)
    assert (await get_campaign_progress("acme", campaign, uow_factory)).state is CampaignState.FINISHED


async def test_missing_list_fails_the_campaign() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    campaign = await create_campaign(COMMAND, uow_factory)
    assert await plan_next_chunk(CHUNK, uow_factory, FakeContactsClient({})) == 0
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert (progress.state, progress.failure) == (CampaignState.FAILED, "there is no such list")


async def test_planning_is_postponed_while_contacts_are_unavailable() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    campaign = await create_campaign(COMMAND, uow_factory)
    contacts = FakeContactsClient({("acme", "friends"): recipients(3)})
    contacts.unavailable = True
    assert await plan_next_chunk(CHUNK, uow_factory, contacts) == 0
    assert await plan_next_chunk(CHUNK, uow_factory, contacts) is None
    assert (await get_campaign_progress("acme", campaign, uow_factory)).state is CampaignState.PLANNING


async def test_planner_with_an_expired_lease_writes_nothing() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    await create_campaign(COMMAND, uow_factory)
    contacts = FakeContactsClient({("acme", "friends"): recipients(3)})

    class OvertakenClient(FakeContactsClient):
        async def fetch_page(self, company, list_name, after, limit):  # noqa: ANN001, ANN202 - as in the base class
            plan = next(iter(uow_factory.tables.plans.values()))
            plan.lease_expires_at = 0.0
            while await plan_next_chunk(CHUNK, uow_factory, contacts) is not None:
                pass
            return await super().fetch_page(company, list_name, after, limit)

    assert await plan_next_chunk(CHUNK, uow_factory, OvertakenClient(contacts.lists)) == 0
    assert len(requests(uow_factory)) == 3


async def test_campaigns_are_planned_alternately() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    for key in ("key-1", "key-2"):
        await create_campaign(
            CreateCampaign("acme", key, "friends", key, "main", idempotency_key=key), uow_factory
        )
    contacts = FakeContactsClient({("acme", "friends"): recipients(5)})
    for _ in range(4):
        await plan_next_chunk(CHUNK, uow_factory, contacts)
    texts = [request.text for request in requests(uow_factory)]
    assert sorted(texts) == ["key-1"] * 4 + ["key-2"] * 4


async def test_repeated_status_updates_are_applied_once() -> None:
    uow_factory, campaign, ids = await planned(5)
    accepted = [
        incoming(v1.MessageAccepted(message_id=message_id, campaign_id=str(campaign)))
        for message_id in ids[:3]
    ]
    delivered = incoming(
        v1.MessageStatusChanged(message_id=ids[0], campaign_id=str(campaign), status=v1.STATUS_DELIVERED)
    )
    failed = incoming(v1.MessageFailed(message_id=ids[3], campaign_id=str(campaign), code=131026))
    uncertain = incoming(v1.MessageUncertain(message_id=ids[4], campaign_id=str(campaign)))
    await apply_status_updates([delivered, *accepted, failed, uncertain, failed], uow_factory)
    await apply_status_updates([*accepted, delivered], uow_factory)
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert progress.counts == {
        MessageState.ACCEPTED: 2,
        MessageState.DELIVERED: 1,
        MessageState.FAILED: 1,
        MessageState.UNCERTAIN: 1,
    }


async def test_webhook_status_resolves_an_uncertain_message() -> None:
    uow_factory, campaign, ids = await planned(1)
    uncertain = v1.MessageUncertain(message_id=ids[0], campaign_id=str(campaign))
    await apply_status_updates([incoming(uncertain)], uow_factory)
    progress = await get_campaign_progress("acme", campaign, uow_factory)
    assert progress.counts == {MessageState.UNCERTAIN: 1}
    sent = v1.MessageStatusChanged(message_id=ids[0], campaign_id=str(campaign), status=v1.STATUS_SENT)
    await apply_status_updates([incoming(sent)], uow_factory)
    assert (await get_campaign_progress("acme", campaign, uow_factory)).counts == {MessageState.SENT: 1}


async def test_updates_of_other_companies_and_unknown_messages_are_ignored() -> None:
    uow_factory, campaign, ids = await planned(1)
    other_company = incoming(
        v1.MessageAccepted(message_id=ids[0], campaign_id=str(campaign)), company="other"
    )
    unknown_message = incoming(v1.MessageAccepted(message_id=str(uuid7()), campaign_id=str(campaign)))
    unknown_status = incoming(v1.MessageStatusChanged(message_id=ids[0], campaign_id=str(campaign)))
    await apply_status_updates([other_company, unknown_message, unknown_status], uow_factory)
    assert (await get_campaign_progress("acme", campaign, uow_factory)).counts == {MessageState.QUEUED: 1}


async def test_messages_of_another_company_are_not_found() -> None:
    uow_factory, campaign, _ = await planned(1)
    with pytest.raises(NotFoundError):
        await list_messages("other", campaign, None, 10, uow_factory)


async def test_unconfirmed_messages_are_republished_under_their_own_ids() -> None:
    uow_factory = FakeUnitOfWorkFactory()
    campaign = await create_campaign(COMMAND, uow_factory)
    contacts = FakeContactsClient({("acme", "friends"): recipients(5)})
    while await plan_next_chunk(CHUNK, uow_factory, contacts) is not None:
        pass
    ids = sorted(request.message_id for request in requests(uow_factory))
    read = v1.MessageStatusChanged(message_id=ids[0], campaign_id=str(campaign), status=3)
    await apply_status_updates([incoming(read)], uow_factory)
    uow_factory.tables.outbox.events.clear()
    assert await republish_requests(2, uow_factory, contacts) == 4
    republished = requests(uow_factory)
    assert sorted(request.message_id for request in republished) == ids[1:]
    phones = {recipient.phone for recipient in contacts.lists["acme", "friends"]}
    assert {request.to for request in republished} <= phones
    assert (await get_campaign_progress("acme", campaign, uow_factory)).planned == 5


async def test_campaign_without_its_list_is_not_republished() -> None:
    uow_factory, _, _ = await planned(3)
    before = len(uow_factory.tables.outbox.events)
    assert await republish_requests(2, uow_factory, FakeContactsClient({})) == 0
    assert len(uow_factory.tables.outbox.events) == before
