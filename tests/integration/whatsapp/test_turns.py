"""Turns of connections on a real Redis and a real Postgres: who goes next, and what happens without Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.kit.breaker import Breaker
from services.kit.queue.engine import RedisQueue
from services.kit.redis import open_redis
from services.whatsapp.adapters.due import PostgresDue
from services.whatsapp.adapters.turns import QueuedTurns, TurnSweep
from services.whatsapp.domain import Turn
from services.whatsapp.queues import DISPATCH, QUEUES
from tests.controllers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.kit.database import Database
    from services.whatsapp.settings import DispatcherSettings
    from tests.integration.whatsapp.conftest import Platform, Taker

pytestmark = pytest.mark.integration


@pytest.fixture
def redis() -> Iterator[Redis]:
    running = Redis()
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def turns(
    redis: Redis, dispatcher_settings: DispatcherSettings, database: Database
) -> AsyncIterator[QueuedTurns]:
    settings = dispatcher_settings.model_copy(update={"redis_server": redis.address})
    async with open_redis(settings, settings) as connection:
        queue = RedisQueue(connection, DISPATCH, QUEUES[DISPATCH])
        yield QueuedTurns(queue, Breaker("turns of a test", open_seconds=0.2), PostgresDue(database))


def at_once(*turns: Turn) -> list[tuple[Turn, float]]:
    return [(turn, 0.0) for turn in turns]


async def test_replies_go_before_campaigns_and_companies_take_turns(turns: QueuedTurns) -> None:
    campaigns = [Turn("acme", f"c{place}") for place in range(3)]
    reply = Turn("acme", "main", replies=True)
    await turns.give(at_once(*campaigns, Turn("globex", "main"), reply))
    taken = await turns.take(10)
    assert taken[0] == reply
    assert taken.index(Turn("globex", "main")) < 3
    assert await turns.take(10) == []


async def test_a_turn_that_waits_is_there_once_and_one_that_is_taken_can_come_anew(
    turns: QueuedTurns,
) -> None:
    turn = Turn("acme", "main")
    await turns.give(at_once(turn))
    await turns.give(at_once(turn))
    assert await turns.take(10) == [turn]
    await turns.give(at_once(turn))
    assert await turns.take(10) == [turn], "what arrives while we are at it is not overlooked"


async def test_a_turn_that_is_to_wait_comes_when_its_time_has_come(turns: QueuedTurns) -> None:
    await turns.give([(Turn("acme", "main"), 0.3)])
    assert await turns.take(10) == []
    async with asyncio.timeout(5):
        while not (taken := await turns.take(10)):
            await turns.arrival(1.0)
    assert taken == [Turn("acme", "main")]


@pytest.mark.usefixtures("connection")
async def test_an_emptied_redis_gets_every_turn_back(
    platform: Platform, redis: Redis, turns: QueuedTurns, database: Database
) -> None:
    platform.add_connection("globex", number="77")
    platform.request(3)
    await turns.give(at_once(Turn("acme", "main")))
    redis.ask("flushall")
    assert await turns.take(10) == []
    stop = asyncio.Event()
    sweep = asyncio.create_task(TurnSweep(PostgresDue(database), turns).run(stop))
    async with asyncio.timeout(10):
        while not (taken := await turns.take(10)):
            await turns.arrival(0.2)
    stop.set()
    await sweep
    assert taken == [Turn("acme", "main")], "globex has nothing to send"


@pytest.mark.usefixtures("connection")
async def test_without_redis_what_is_due_is_sent_all_the_same(
    platform: Platform, redis: Redis, turns: QueuedTurns
) -> None:
    platform.request(3)
    redis.kill()
    await turns.give(at_once(Turn("acme", "main")))
    async with asyncio.timeout(10):
        assert await turns.take(10) == [Turn("acme", "main")]
        await turns.arrival(0.1)
    redis.start()
    await asyncio.sleep(0.3)  # the breaker's own time
    await turns.give(at_once(Turn("acme", "other")))
    assert await turns.take(10) == [Turn("acme", "other")]


@pytest.mark.usefixtures("connection")
async def test_a_claim_says_which_turns_come_again(platform: Platform, claims: Taker) -> None:
    platform.request(10)
    reply, campaign = Turn("acme", "main", replies=True), Turn("acme", "main")
    platform.database.execute("UPDATE whatsapp.messages SET urgency = 5 WHERE recipient LIKE '%00000007'")
    taken = await claims.claim([reply], 4)
    assert [claim.recipient[-1] for claim in taken.claims] == ["7"]
    assert taken.again == [], "fewer than there was room for: none is left"
    taken = await claims.claim([campaign], 4)
    assert len(taken.claims) == 4
    assert taken.again == [(campaign, 0.0)]
    taken = await claims.claim([campaign, Turn("acme", "nowhere")], 100)
    assert (len(taken.claims), taken.again) == (5, [])


async def test_a_turn_comes_again_when_there_will_be_a_token(platform: Platform, claims: Taker) -> None:
    platform.add_connection(rate="2")
    platform.request(5)
    campaign = Turn("acme", "main")
    assert len((await claims.claim([campaign], 10)).claims) == 1
    ((again, pause),) = (await claims.claim([campaign], 10)).again
    assert again == campaign
    assert 0.1 < pause <= 0.5
