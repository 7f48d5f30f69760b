"""Message leases on real Postgres: leases, epochs, token buckets, quotas, fencing of old results."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from services.whatsapp.domain.error_policy import decide
from services.whatsapp.domain.rate_limit import BURST_SECONDS
from services.whatsapp.domain.sending import Accepted, AttemptResult, NotSent, Rejected, Unknown
from services.whatsapp.jobs.sweeper import Sweeper
from tests.integration.whatsapp.conftest import NUMBER, seeded_random

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
    from services.whatsapp.domain.sending import LeasedMessage, SendOutcome
    from tests.integration.whatsapp.conftest import PlatformUnderTest, PollingLeases

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connection")]


def results(messages: Sequence[LeasedMessage], outcome: SendOutcome) -> list[AttemptResult]:
    return [
        AttemptResult(message, decide(outcome, message.attempts, 5, seeded_random())) for message in messages
    ]


def expire_all_leases(platform: PlatformUnderTest) -> None:
    platform.database.execute("UPDATE whatsapp.messages SET lease_expires_at = now() - interval '1 second'")


def make_all_messages_due(platform: PlatformUnderTest) -> None:
    platform.database.execute("UPDATE whatsapp.messages SET due_at = now()")


def event_types(platform: PlatformUnderTest) -> list[str]:
    """Return the types of the events in the outbox, in order."""
    return [type(event).__name__ for event in platform.events()]


async def sweep(unit_of_work: PostgresUnitOfWorkFactory) -> int:
    return await Sweeper(unit_of_work, interval_seconds=1).expire_leases()


async def test_leased_message_is_sent_and_its_result_recorded(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    (queued,) = platform.queue_messages(1)
    (message,) = await leases.lease_ready(10)
    assert (message.message_id, message.phone_number_id, message.text, message.epoch) == (
        queued,
        NUMBER,
        "Hello",
        1,
    )
    assert await leases.record_results(results([message], Accepted("wamid.1"))) == 1
    assert platform.state_counts() == {"accepted": 1}
    assert event_types(platform) == ["MessageAccepted"]


async def test_concurrent_leases_never_share_a_message(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(200)
    batches = await asyncio.gather(*(leases.lease_ready(40) for _ in range(8)))
    leased = [message.message_id for batch in batches for message in batch]
    assert len(leased) == len(set(leased)) > 0


async def test_result_with_old_epoch_changes_nothing(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(1)
    (stale,) = await leases.lease_ready(1)
    await leases.record_results(results([stale], NotSent("ConnectError")))
    make_all_messages_due(platform)
    (current,) = await leases.lease_ready(1)
    assert await leases.record_results(results([stale], Rejected(131026, "late"))) == 0
    assert platform.state_counts() == {"leased": 1}
    assert event_types(platform) == []
    assert await leases.record_results(results([current], Accepted("wamid.1"))) == 1
    assert platform.state_counts() == {"accepted": 1}


async def test_expired_lease_becomes_uncertain_and_is_not_leased_again(
    platform: PlatformUnderTest, leases: PollingLeases, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    platform.queue_messages(1)
    await leases.lease_ready(1)
    expire_all_leases(platform)
    assert await sweep(unit_of_work) == 1
    assert platform.state_counts() == {"uncertain": 1}
    assert event_types(platform) == ["MessageUncertain"]
    assert await leases.lease_ready(1) == []


async def test_late_result_resolves_uncertain_message(
    platform: PlatformUnderTest, leases: PollingLeases, unit_of_work: PostgresUnitOfWorkFactory
) -> None:
    platform.queue_messages(1)
    leased = await leases.lease_ready(1)
    expire_all_leases(platform)
    await sweep(unit_of_work)
    assert await leases.record_results(results(leased, Unknown("ReadTimeout"))) == 0
    assert await leases.record_results(results(leased, Accepted("wamid.1"))) == 1
    assert platform.state_counts() == {"accepted": 1}
    assert event_types(platform) == ["MessageUncertain", "MessageAccepted"]


async def test_result_after_a_webhook_does_not_lower_the_state(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(1)
    leased = await leases.lease_ready(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'delivered'")
    assert await leases.record_results(results(leased, Accepted("wamid.1"))) == 0
    assert platform.state_counts() == {"delivered": 1}


async def test_rejected_message_waits_and_its_attempts_are_counted(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(1)
    leased = await leases.lease_ready(1)
    assert await leases.record_results(results(leased, Rejected(131000, "busy"))) == 1
    assert await leases.lease_ready(1) == []
    make_all_messages_due(platform)
    (retried,) = await leases.lease_ready(1)
    assert (retried.attempts, retried.epoch) == (1, 2)
    assert event_types(platform) == []


async def test_connection_is_leased_at_its_rate(platform: PlatformUnderTest, leases: PollingLeases) -> None:
    platform.add_connection("acme", "slow", "777", rate="40")
    platform.queue_messages(100, "slow")
    started_at = monotonic()
    assert len(await leases.lease_ready(100)) == 40 * BURST_SECONDS
    assert len(await leases.lease_ready(100)) <= 40 * (monotonic() - started_at) + 1


async def test_suspended_connection_does_not_stop_another(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.add_connection("acme", "other", "777")
    platform.queue_messages(1)
    leased = await leases.lease_ready(1)
    await leases.record_results(results(leased, Rejected(190, "token expired")))
    make_all_messages_due(platform)
    (queued,) = platform.queue_messages(1, "other")
    assert [message.message_id for message in await leases.lease_ready(10)] == [queued]


async def test_throttled_connection_has_half_its_rate(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(3)
    leased = await leases.lease_ready(3)
    await leases.record_results(results(leased, Rejected(130429, "slow down")))
    assert platform.database.execute("SELECT throttle_factor FROM whatsapp.connections") == "0.5"


async def test_unsent_message_is_queued_again(platform: PlatformUnderTest, leases: PollingLeases) -> None:
    platform.queue_messages(1)
    leased = await leases.lease_ready(1)
    await leases.record_results(results(leased, NotSent("ConnectError")))
    assert platform.state_counts() == {"queued": 1}


async def test_messages_wait_for_their_connection(platform: PlatformUnderTest, leases: PollingLeases) -> None:
    platform.queue_messages(1, "not-created-yet")
    assert await leases.lease_ready(10) == []
    platform.add_connection("acme", "not-created-yet", "777")
    assert len(await leases.lease_ready(10)) == 1


def set_quota(platform: PlatformUnderTest, recipients_per_day: int) -> None:
    platform.database.execute(f"UPDATE whatsapp.connections SET recipients_per_day = {recipients_per_day}")


def force_recount(platform: PlatformUnderTest) -> None:
    """Make the recipients be counted at the next lease."""
    platform.database.execute("UPDATE whatsapp.connections SET quota_counted_at = '-infinity'")


async def test_used_up_quota_stops_campaigns_and_not_replies(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    set_quota(platform, 3)
    platform.queue_messages(10)
    assert len(await leases.lease_ready(10)) == 3
    assert await leases.lease_ready(10) == []
    platform.database.execute("UPDATE whatsapp.messages SET priority = 5 WHERE recipient LIKE '%00000007'")
    (reply,) = await leases.lease_ready(10)
    assert reply.recipient.endswith("7")
    force_recount(platform)
    assert await leases.lease_ready(10) == [], "the recipient of a reply does not count, and three do"


async def test_recipients_older_than_a_day_do_not_count(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    set_quota(platform, 3)
    platform.queue_messages(10)
    await leases.lease_ready(10)
    platform.database.execute(
        "UPDATE whatsapp.daily_recipients SET contacted_at = now() - interval '25 hours'"
    )
    assert await leases.lease_ready(10) == [], "recipients are counted once a minute"
    force_recount(platform)
    assert len(await leases.lease_ready(10)) == 3


async def test_concurrent_dispatchers_respect_a_quota(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    set_quota(platform, 50)
    platform.queue_messages(200)
    for _ in range(5):
        await asyncio.gather(*(leases.lease_ready(20) for _ in range(8)))
    assert platform.state_counts() == {"leased": 50, "queued": 150}


async def test_repeated_recipients_count_once(platform: PlatformUnderTest, leases: PollingLeases) -> None:
    set_quota(platform, 8)
    platform.queue_messages(5)
    assert len(await leases.lease_ready(10)) == 5
    platform.queue_messages(5)  # The same recipients.
    await leases.lease_ready(10)
    force_recount(platform)
    await leases.lease_ready(10)
    assert platform.state_counts() == {"leased": 10}
