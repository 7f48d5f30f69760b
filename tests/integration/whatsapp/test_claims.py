"""Claims on real Postgres: leases, epochs, buckets, and that an old claim never wins."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from services.whatsapp.domain import Accepted, Claim, NotReached, Outcome, Refused, Result, Unknown
from services.whatsapp.handlers import Sweeper
from services.whatsapp.outcomes import decide
from services.whatsapp.pace import BURST_SECONDS
from tests.integration.whatsapp.conftest import NUMBER, repeatable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.database import Database
    from tests.integration.whatsapp.conftest import Platform, Taker

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connection")]


def results(claims: Sequence[Claim], outcome: Outcome) -> list[Result]:
    return [Result(claim, decide(outcome, claim.attempts, 5, repeatable())) for claim in claims]


def lapse(platform: Platform) -> None:
    """Let every lease end."""
    platform.database.execute("UPDATE whatsapp.messages SET lease_until = now() - interval '1 second'")


def told(platform: Platform) -> list[str]:
    """Return the kinds of the reports in the outbox, in order."""
    return [type(event).__name__ for event in platform.told()]


async def sweep(database: Database) -> int:
    return await Sweeper(database, every_seconds=1).step()


async def test_what_is_claimed_is_sent_and_settled(platform: Platform, claims: Taker) -> None:
    (wanted,) = platform.request(1)
    (claim,) = await claims.take(10)
    assert (claim.message_id, claim.phone_number_id, claim.text, claim.epoch) == (wanted, NUMBER, "Hello", 1)
    assert await claims.settle(results([claim], Accepted("wamid.1"))) == 1
    assert platform.states() == {"accepted": 1}
    assert told(platform) == ["MessageAccepted"]


async def test_what_is_claimed_is_claimed_by_nobody_else(platform: Platform, claims: Taker) -> None:
    platform.request(200)
    parts = await asyncio.gather(*(claims.take(40) for _ in range(8)))
    taken = [claim.message_id for part in parts for claim in part]
    assert len(taken) == len(set(taken)) > 0


async def test_a_write_under_an_old_epoch_changes_nothing(platform: Platform, claims: Taker) -> None:
    platform.request(1)
    (stale,) = await claims.take(1)
    await claims.settle(results([stale], NotReached("ConnectError")))
    platform.database.execute("UPDATE whatsapp.messages SET due_at = now()")
    (current,) = await claims.take(1)
    assert await claims.settle(results([stale], Refused(131026, "late"))) == 0
    assert platform.states() == {"claimed": 1}
    assert told(platform) == []
    assert await claims.settle(results([current], Accepted("wamid.1"))) == 1
    assert platform.states() == {"accepted": 1}


async def test_an_attempt_of_which_nothing_is_heard_becomes_uncertain_and_is_not_claimed_again(
    platform: Platform, claims: Taker, database: Database
) -> None:
    platform.request(1)
    await claims.take(1)
    lapse(platform)
    assert await sweep(database) == 1
    assert platform.states() == {"uncertain": 1}
    assert told(platform) == ["MessageUncertain"]
    assert await claims.take(1) == []


async def test_a_late_result_settles_what_the_sweep_called_uncertain(
    platform: Platform, claims: Taker, database: Database
) -> None:
    platform.request(1)
    taken = await claims.take(1)
    lapse(platform)
    await sweep(database)
    assert await claims.settle(results(taken, Unknown("ReadTimeout"))) == 0
    assert await claims.settle(results(taken, Accepted("wamid.1"))) == 1
    assert platform.states() == {"accepted": 1}
    assert told(platform) == ["MessageUncertain", "MessageAccepted"]


async def test_a_result_after_a_callback_does_not_move_the_message_back(
    platform: Platform, claims: Taker
) -> None:
    platform.request(1)
    taken = await claims.take(1)
    platform.database.execute("UPDATE whatsapp.messages SET state = 'delivered'")
    assert await claims.settle(results(taken, Accepted("wamid.1"))) == 0
    assert platform.states() == {"delivered": 1}


async def test_a_refused_message_waits_its_time_and_counts_its_attempts(
    platform: Platform, claims: Taker
) -> None:
    platform.request(1)
    taken = await claims.take(1)
    assert await claims.settle(results(taken, Refused(131000, "busy"))) == 1
    assert await claims.take(1) == []
    platform.database.execute("UPDATE whatsapp.messages SET due_at = now()")
    (again,) = await claims.take(1)
    assert (again.attempts, again.epoch) == (1, 2)
    assert told(platform) == []


async def test_a_number_sends_no_faster_than_its_rate(platform: Platform, claims: Taker) -> None:
    platform.add_connection("acme", "slow", "777", rate="40")
    platform.request(100, "slow")
    began = monotonic()
    assert len(await claims.take(100)) == 40 * BURST_SECONDS
    assert len(await claims.take(100)) <= 40 * (monotonic() - began) + 1


async def test_a_held_number_does_not_stop_another(platform: Platform, claims: Taker) -> None:
    platform.add_connection("acme", "other", "777")
    platform.request(1)
    taken = await claims.take(1)
    await claims.settle(results(taken, Refused(190, "token expired")))
    platform.database.execute("UPDATE whatsapp.messages SET due_at = now()")
    (wanted,) = platform.request(1, "other")
    assert [claim.message_id for claim in await claims.take(10)] == [wanted]


async def test_a_throttled_number_goes_at_half_its_pace(platform: Platform, claims: Taker) -> None:
    platform.request(3)
    taken = await claims.take(3)
    await claims.settle(results(taken, Refused(130429, "slow down")))
    assert platform.database.execute("SELECT pace FROM whatsapp.connections") == "0.5"


async def test_what_was_not_reached_is_queued_again(platform: Platform, claims: Taker) -> None:
    platform.request(1)
    taken = await claims.take(1)
    await claims.settle(results(taken, NotReached("ConnectError")))
    assert platform.states() == {"queued": 1}


async def test_without_a_connection_messages_wait(platform: Platform, claims: Taker) -> None:
    platform.request(1, "not-there-yet")
    assert await claims.take(10) == []
    platform.add_connection("acme", "not-there-yet", "777")
    assert len(await claims.take(10)) == 1


def limit(platform: Platform, quota: int) -> None:
    platform.database.execute(f"UPDATE whatsapp.connections SET quota = {quota}")


def recount(platform: Platform) -> None:
    """Let the time come at which people are counted again."""
    platform.database.execute("UPDATE whatsapp.connections SET counted_at = '-infinity'")


async def test_a_quota_ends_campaigns_for_the_day_and_lets_replies_through(
    platform: Platform, claims: Taker
) -> None:
    limit(platform, 3)
    platform.request(10)
    assert len(await claims.take(10)) == 3
    assert await claims.take(10) == []
    platform.database.execute("UPDATE whatsapp.messages SET urgency = 5 WHERE recipient LIKE '%00000007'")
    (reply,) = await claims.take(10)
    assert reply.recipient.endswith("7")
    recount(platform)
    assert await claims.take(10) == [], "who answered is not one who was reached, and three were"


async def test_who_was_reached_more_than_a_day_ago_counts_no_more(platform: Platform, claims: Taker) -> None:
    limit(platform, 3)
    platform.request(10)
    await claims.take(10)
    platform.database.execute("UPDATE whatsapp.reached SET at = now() - interval '25 hours'")
    assert await claims.take(10) == [], "counted once a minute"
    recount(platform)
    assert len(await claims.take(10)) == 3


async def test_dispatchers_at_once_keep_to_a_quota(platform: Platform, claims: Taker) -> None:
    limit(platform, 50)
    platform.request(200)
    for _ in range(5):
        await asyncio.gather(*(claims.take(20) for _ in range(8)))
    assert platform.states() == {"claimed": 50, "queued": 150}


async def test_the_same_people_count_once(platform: Platform, claims: Taker) -> None:
    limit(platform, 8)
    platform.request(5)
    assert len(await claims.take(10)) == 5
    platform.request(5)  # to the same people
    await claims.take(10)
    recount(platform)
    await claims.take(10)
    assert platform.states() == {"claimed": 10}
