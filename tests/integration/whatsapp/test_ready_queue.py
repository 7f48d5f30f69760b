"""Ready queue on real Redis and Postgres: order, delays, and operation without Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.kit.circuit_breaker import CircuitBreaker
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from services.whatsapp.adapters.ready_connections import PostgresReadyConnections
from services.whatsapp.adapters.ready_queue import DISPATCH, QUEUES, RedisReadyQueue
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.jobs.ready_queue_reconciler import ReadyQueueReconciler
from tests.servers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from services.kit.postgres.database import Database
    from services.whatsapp.settings import DispatcherSettings
    from tests.integration.whatsapp.conftest import PlatformUnderTest, PollingLeases

pytestmark = pytest.mark.integration
MAIN = ReadyConnection("acme", "main")


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis(service="whatsapp")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def ready_queue(
    redis: Redis, dispatcher_settings: DispatcherSettings, database: Database
) -> AsyncIterator[RedisReadyQueue]:
    settings = dispatcher_settings.model_copy(update=redis.settings().model_dump())
    async with open_redis(settings, settings) as redis_client:
        queue = RedisQueue(redis_client, DISPATCH, QUEUES[DISPATCH])
        breaker = CircuitBreaker("test.ready-queue", open_seconds=0.2)
        yield RedisReadyQueue(queue, breaker, PostgresReadyConnections(database))


def without_delay(*connections: ReadyConnection) -> list[tuple[ReadyConnection, float]]:
    return [(connection, 0.0) for connection in connections]


async def test_replies_are_first_and_companies_alternate(ready_queue: RedisReadyQueue) -> None:
    campaigns = [ReadyConnection("acme", f"c{index}") for index in range(3)]
    reply = ReadyConnection("acme", "main", replies=True)
    other_company = ReadyConnection("globex", "main")
    await ready_queue.push(without_delay(*campaigns, other_company, reply))
    popped = await ready_queue.pop(10)
    assert popped[0] == reply
    assert popped.index(other_company) < 3
    assert await ready_queue.pop(10) == []


async def test_connection_is_queued_once_and_can_be_pushed_again_after_pop(
    ready_queue: RedisReadyQueue,
) -> None:
    await ready_queue.push(without_delay(MAIN))
    await ready_queue.push(without_delay(MAIN))
    assert await ready_queue.pop(10) == [MAIN]
    await ready_queue.push(without_delay(MAIN))
    assert await ready_queue.pop(10) == [MAIN], "a message that arrives during processing is not missed"


async def test_delayed_connection_is_popped_after_its_delay(ready_queue: RedisReadyQueue) -> None:
    await ready_queue.push([(MAIN, 0.3)])
    assert await ready_queue.pop(10) == []
    async with asyncio.timeout(5):
        while not (popped := await ready_queue.pop(10)):
            await ready_queue.wait(1.0)
    assert popped == [MAIN]


async def pop_while_reconciling(ready_queue: RedisReadyQueue, database: Database) -> list[ReadyConnection]:
    """Run the reconciler until the queue has connections; return them."""
    stop = asyncio.Event()
    reconciler = ReadyQueueReconciler(PostgresReadyConnections(database), ready_queue)
    reconciling = asyncio.create_task(reconciler.run(stop))
    async with asyncio.timeout(10):
        while not (popped := await ready_queue.pop(10)):
            await ready_queue.wait(0.2)
    stop.set()
    await reconciling
    return popped


@pytest.mark.usefixtures("connection")
async def test_draining_queue_empties_until_it_is_resumed(
    platform: PlatformUnderTest, redis: Redis, ready_queue: RedisReadyQueue, database: Database
) -> None:
    platform.queue_messages(3)
    await ready_queue.push(without_delay(MAIN))
    redis.execute("hset", f"esq:queue:{{{DISPATCH}}}:meta", "draining", "1")
    assert await ready_queue.pop(10) == [MAIN]
    for _ in range(10):  # more rejections than failures that open the breaker
        await ready_queue.push(without_delay(MAIN))
    assert await ready_queue.pop(10) == [], "an open breaker would return the connections from Postgres"
    redis.execute("hset", f"esq:queue:{{{DISPATCH}}}:meta", "draining", "0")
    popped = await pop_while_reconciling(ready_queue, database)
    assert popped == [MAIN]


@pytest.mark.usefixtures("connection")
async def test_reconciler_restores_entries_after_data_loss(
    platform: PlatformUnderTest, redis: Redis, ready_queue: RedisReadyQueue, database: Database
) -> None:
    platform.add_connection("globex", number="77")
    platform.queue_messages(3)
    await ready_queue.push(without_delay(MAIN))
    redis.execute("flushall")
    assert await ready_queue.pop(10) == []
    popped = await pop_while_reconciling(ready_queue, database)
    assert popped == [MAIN], "globex has no messages"


@pytest.mark.usefixtures("connection")
async def test_ready_connections_come_from_postgres_without_redis(
    platform: PlatformUnderTest, redis: Redis, ready_queue: RedisReadyQueue
) -> None:
    platform.queue_messages(3)
    redis.kill()
    await ready_queue.push(without_delay(MAIN))
    async with asyncio.timeout(10):
        assert await ready_queue.pop(10) == [MAIN]
        await ready_queue.wait(0.1)
    redis.start()
    await asyncio.sleep(0.3)  # Until the breaker is half-open.
    other = ReadyConnection("acme", "other")
    await ready_queue.push(without_delay(other))
    assert await ready_queue.pop(10) == [other]


@pytest.mark.usefixtures("connection")
async def test_lease_requeues_connections_with_more_messages(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.queue_messages(10)
    reply = ReadyConnection("acme", "main", replies=True)
    platform.database.execute("UPDATE whatsapp.messages SET priority = 5 WHERE recipient LIKE '%00000007'")
    result = await leases.lease([reply], 4)
    assert [message.recipient[-1] for message in result.messages] == ["7"]
    assert result.requeue == [], "fewer than its share: no reply is left"
    result = await leases.lease([MAIN], 4)
    assert len(result.messages) == 4
    assert result.requeue == [(MAIN, 0.0)]
    result = await leases.lease([MAIN, ReadyConnection("acme", "nowhere")], 100)
    assert (len(result.messages), result.requeue) == (5, [])


async def test_connection_without_tokens_is_requeued_with_a_delay(
    platform: PlatformUnderTest, leases: PollingLeases
) -> None:
    platform.add_connection(rate="2")
    platform.queue_messages(5)
    assert len((await leases.lease([MAIN], 10)).messages) == 1
    ((requeued, delay),) = (await leases.lease([MAIN], 10)).requeue
    assert requeued == MAIN
    assert 0.1 < delay <= 0.5
