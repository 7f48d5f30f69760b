"""Halts, runs and times on real Postgres: what was not claimed comes back, what was claimed stays."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from services.contracts.v1.events_pb2 import CampaignHalted, MessageExpired, MessageRecalled, MessageRequested
from services.kit.events import Incoming
from services.kit.ids import uuid7
from services.whatsapp.adapters.fake_turns import FakeTurns
from services.whatsapp.handlers import LAPSED, SQL, Sweeper
from services.whatsapp.requests import Requests

if TYPE_CHECKING:
    from services.kit.database import Database
    from tests.integration.whatsapp.conftest import Platform, Taker

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connection")]
CAMPAIGN = "c"


def requested(message: str, run: int = 0, **times: datetime) -> Incoming:
    event = MessageRequested(
        message_id=message,
        campaign_id=CAMPAIGN,
        contact_id="1",
        connection="main",
        to="+5511999999999",
        text="Hello",
        run=run,
    )
    for name, time in times.items():
        getattr(event, name).FromDatetime(time)
    return Incoming(uuid7(), "acme", event)


def halted(run: int = 0, campaign: str = CAMPAIGN, company: str = "acme") -> Incoming:
    event = CampaignHalted(campaign_id=campaign, connection="main", run=run)
    return Incoming(uuid7(), company, event)


def fresh(count: int) -> list[str]:
    return [str(uuid7()) for _ in range(count)]


async def test_a_halt_takes_back_what_waits_and_nothing_that_was_claimed(
    platform: Platform, database: Database, claims: Taker
) -> None:
    requests, sweeper, ids = Requests(database, FakeTurns()), Sweeper(database, every_seconds=1), fresh(6)
    await requests.handle([requested(one) for one in ids])
    claimed = await claims.take(2)
    await requests.handle([halted()])
    assert await claims.take(10) == [], "nothing of a halted run is claimed"
    assert await sweeper.hand_back() == 4
    assert platform.states() == {"claimed": 2, "recalled": 4}
    assert {event.message_id for event in platform.told()} == set(ids) - {
        str(one.message_id) for one in claimed
    }
    assert {(type(event), event.run) for event in platform.told()} == {(MessageRecalled, 0)}


async def test_other_campaigns_companies_and_later_runs_go_on(database: Database, claims: Taker) -> None:
    requests, [message] = Requests(database, FakeTurns()), fresh(1)
    await requests.handle([halted(0), halted(7, campaign="another"), halted(7, company="other")])
    await requests.handle([requested(message, run=1)])
    await Sweeper(database, every_seconds=1).hand_back()
    assert [str(one.message_id) for one in await claims.take(5)] == [message]


async def test_a_request_under_a_halted_run_comes_back_at_once(
    platform: Platform, database: Database
) -> None:
    """As from the retry topic, hours after the halt."""
    requests, ids = Requests(database, FakeTurns()), fresh(2)
    await requests.handle([halted(1)])
    await requests.handle([requested(one, run) for run, one in enumerate(ids)])
    assert Counter(event.run for event in platform.told()) == {0: 1, 1: 1}
    assert platform.states() == {"recalled": 2}


async def test_what_came_back_is_sent_under_a_later_run_and_never_under_an_earlier(
    platform: Platform, database: Database, claims: Taker
) -> None:
    requests, [message] = Requests(database, FakeTurns()), fresh(1)
    await requests.handle([requested(message), halted()])
    await Sweeper(database, every_seconds=1).hand_back()
    await requests.handle([requested(message, run=0)])
    assert platform.states() == {"recalled": 1}, "the run is over"
    assert len(platform.told()) == 2, "and who asks again is told so"
    await requests.handle([requested(message, run=1), requested(message, run=0)])
    assert len(await claims.take(5)) == 1
    await requests.handle([requested(message, run=2)])
    assert platform.states() == {"claimed": 1}, "what was claimed is not claimed again"


async def test_the_time_of_a_message_is_over_for_now_or_for_good(
    platform: Platform, database: Database, claims: Taker
) -> None:
    past, future = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
    late, over, both, early = fresh(4)
    await Requests(database, FakeTurns()).handle(
        [
            requested(late, not_after=past, expires_at=future),
            requested(over, expires_at=past),
            requested(both, not_after=past, expires_at=past),
            requested(early, not_after=future, expires_at=future),
        ]
    )
    assert [str(one.message_id) for one in await claims.take(5)] == [early]
    await Sweeper(database, every_seconds=1).hand_back()
    kinds = {event.message_id: type(event) for event in platform.told()}
    assert kinds == {late: MessageRecalled, over: MessageExpired, both: MessageExpired}
    assert platform.states() == {"claimed": 1, "recalled": 1, "expired": 2}


async def test_the_sweep_does_not_look_through_all_messages(platform: Platform, database: Database) -> None:
    """In the order of their keys it would find out at the last of them that none is late."""
    platform.database.execute(
        "INSERT INTO whatsapp.messages"
        " (company, message_id, campaign_id, contact_id, connection, recipient, body)"
        " SELECT 'acme', gen_random_uuid(), 'campaign', 'contact', 'main', '+5511999999999', 'Hello'"
        " FROM generate_series(1, 20000)"
    )
    platform.database.execute("ANALYZE whatsapp.messages")
    async with database.work() as work:
        sweep = str(SQL["hand_back_late"]).replace(":most", str(LAPSED))
        plan = [row[0] for row in await work.rows(text(f"EXPLAIN {sweep}"))]
    assert any("messages_timed" in line for line in plan), plan


async def test_many_come_back_in_bounded_transactions_each_once(
    platform: Platform, database: Database
) -> None:
    count, sweeper, requests = LAPSED + 7, Sweeper(database, every_seconds=1), Requests(database, FakeTurns())
    await requests.handle([requested(one) for one in fresh(count)])
    await requests.handle([halted()])
    assert [await sweeper.hand_back() for _ in range(3)] == [LAPSED, 7, 0]
    assert len({event.message_id for event in platform.told()}) == len(platform.told()) == count
