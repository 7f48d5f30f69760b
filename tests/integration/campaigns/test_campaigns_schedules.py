"""Scheduled transitions of campaigns, equal on the fake store and on Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta
from typing import TYPE_CHECKING

import pytest

from services.campaigns.domain.lifecycle import Action, CampaignState, MissedStartPolicy
from services.campaigns.domain.model import MessageState
from services.campaigns.domain.schedule_rules import Schedule
from services.campaigns.domain.send_windows import SendWindow
from services.campaigns.handlers import create_campaign, get_campaign_progress
from services.contracts.v1 import events_pb2 as v1
from tests.integration.campaigns.conftest import COMMAND, FUTURE

if TYPE_CHECKING:
    from tests.integration.campaigns.conftest import CampaignsHarness

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("policy", "delay_seconds", "state"),
    [
        (MissedStartPolicy.CANCEL, 200, CampaignState.PLANNING),
        (MissedStartPolicy.START_LATE, 3600, CampaignState.PLANNING),
        (MissedStartPolicy.CANCEL, 3600, CampaignState.CANCELLED),
        (MissedStartPolicy.REVERT_TO_DRAFT, 3600, CampaignState.DRAFT),
    ],
)
async def test_scheduled_start_and_missed_start_policy(
    harness: CampaignsHarness, policy: MissedStartPolicy, delay_seconds: float, state: CampaignState
) -> None:
    schedule = Schedule(start_at=FUTURE, missed_start_policy=policy)
    campaign = await create_campaign(replace(COMMAND, schedule=schedule), harness.uow_factory)
    await harness.run_scheduler(FUTURE - timedelta(seconds=1))
    assert await harness.state_and_counts(campaign) == (CampaignState.SCHEDULED, {})
    await harness.run_scheduler(FUTURE + timedelta(seconds=delay_seconds))
    progress = await get_campaign_progress("acme", campaign, harness.uow_factory)
    assert (progress.state, progress.schedule) == (state, schedule)
    assert (progress.status_reason is None) == (state is CampaignState.PLANNING)
    await harness.plan()
    assert len(harness.requests()) == (5 if state is CampaignState.PLANNING else 0)


async def test_campaign_waits_for_its_window_and_sends_unsent_messages_in_the_next(
    harness: CampaignsHarness,
) -> None:
    window = SendWindow("UTC", frozenset(range(7)), time(9), time(18))
    campaign = await create_campaign(replace(COMMAND, schedule=Schedule(window=window)), harness.uow_factory)
    await harness.plan()
    await harness.run_scheduler(FUTURE.replace(hour=8))
    assert await harness.state_and_counts(campaign) == (CampaignState.WAITING, {}), "before the window"
    await harness.run_scheduler(FUTURE.replace(hour=9))
    await harness.plan()
    first = harness.requests(run=1)
    assert len(first) == 5
    ends = {event.send_before.ToDatetime(UTC) for event in harness.events()}
    assert ends == {FUTURE.replace(hour=18)}, "whatsapp returns unsent messages at the end of the window"
    await harness.accept(campaign, first[:2])
    await harness.run_scheduler(FUTURE.replace(hour=18))
    await harness.return_unsent(campaign, first[2:], run=1)
    counts = {MessageState.PENDING: 3, MessageState.ACCEPTED: 2}
    assert await harness.state_and_counts(campaign) == (CampaignState.WAITING, counts)
    await harness.plan()
    await harness.run_scheduler(FUTURE.replace(hour=9) + timedelta(days=1))
    await harness.plan()
    assert sorted(harness.requests(run=2)) == sorted(first[2:])
    await harness.deliver(campaign, first)
    await harness.run_scheduler(FUTURE + timedelta(days=3))
    state, _ = await harness.state_and_counts(campaign)
    assert state is CampaignState.FINISHED, "a finished campaign does not wait for a window"


async def test_paused_campaign_stays_paused_across_windows(harness: CampaignsHarness) -> None:
    window = SendWindow("UTC", frozenset(range(7)), time(9), time(18))
    campaign = await create_campaign(replace(COMMAND, schedule=Schedule(window=window)), harness.uow_factory)
    await harness.run_scheduler(FUTURE.replace(hour=8))
    assert await harness.change_state(campaign, Action.PAUSE) is CampaignState.PAUSED
    await harness.run_scheduler(FUTURE.replace(hour=9))
    assert (await harness.state_and_counts(campaign))[0] is CampaignState.PAUSED
    assert await harness.change_state(campaign, Action.RESUME) is CampaignState.WAITING
    await harness.run_scheduler(FUTURE.replace(hour=10))
    await harness.plan()
    assert (await harness.state_and_counts(campaign))[0] is CampaignState.RUNNING


async def test_expired_campaign_never_sends_unsent_messages(harness: CampaignsHarness) -> None:
    schedule = Schedule(expires_at=FUTURE)
    campaign = await create_campaign(replace(COMMAND, schedule=schedule), harness.uow_factory)
    await harness.plan()
    first = harness.requests()
    assert {event.expires_at.ToDatetime(UTC) for event in harness.events()} == {FUTURE}
    await harness.change_state(campaign, Action.PAUSE)
    await harness.return_unsent(campaign, first[:2])
    await harness.run_scheduler(FUTURE)
    await harness.consume(
        *(v1.MessageExpired(message_id=message, campaign_id=str(campaign)) for message in first[2:])
    )
    counts = {MessageState.CANCELLED: 2, MessageState.EXPIRED: 3}
    assert await harness.state_and_counts(campaign) == (CampaignState.CANCELLED, counts)
    progress = await get_campaign_progress("acme", campaign, harness.uow_factory)
    assert "expired at" in str(progress.status_reason)
