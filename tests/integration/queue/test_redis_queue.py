"""The Redis queue under failures: lost data, full or stalled Redis, failover, and cluster constraints."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ResponseError

from infra.config_files import redis as redis_config
from services.kit.errors import TemporaryError
from services.kit.queue import metrics
from services.kit.queue.job import Disposition, Job, JobResult, QueueName
from services.kit.queue.lua_scripts import KEYS, SCRIPTS
from services.kit.queue.redis_queue import RedisQueue
from services.kit.redis.client import open_redis
from tests.integration.queue.conftest import CONFIG, NAME, PROCESS, connect
from tests.metrics import metric
from tests.servers.process import Server, free_port, wait_until
from tests.servers.redis import PASSWORD, Redis, accounts

if TYPE_CHECKING:
    from pathlib import Path

    from services.kit.redis.client import RedisClient

pytestmark = pytest.mark.integration


def jobs(count: int, **attributes: object) -> list[Job]:
    return [Job(uuid4(), f"company-{number % 5}", **attributes) for number in range(count)]  # type: ignore[arg-type]


async def consume(queue: RedisQueue, done: list[Job | object], expected: int) -> None:
    """Reserve and acknowledge single jobs until `expected` jobs are done."""
    while len(done) < expected:
        reserved = await queue.reserve(1)
        await queue.ack(reserved.leases)
        done += reserved.leases
        if not reserved.leases:
            await queue.wait_for_job(0.5)


async def test_wait_for_job_returns_when_a_job_arrives(queue: RedisQueue) -> None:
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(20):
        waiting = asyncio.create_task(queue.wait_for_job(5.0))
        await asyncio.sleep(0.02)  # the call blocks
        started_at = loop.time()
        await queue.enqueue(jobs(1))
        await waiting
        waits.append(loop.time() - started_at)
        await queue.ack((await queue.reserve(1)).leases)
    assert sorted(waits)[10] < 0.25, "woken, not timed out"


async def test_one_wake_token_reaches_all_consumers(queue: RedisQueue) -> None:
    done: list[Job | object] = []
    consumers = asyncio.gather(*(consume(queue, done, 30) for _ in range(3)))
    await queue.enqueue(jobs(30))
    async with asyncio.timeout(30):
        await consumers
    assert (await queue.stats()).totals["done"] == 30


async def test_epochs_increase_across_a_flush(redis: Redis, queue: RedisQueue) -> None:
    enqueued = jobs(1)
    await queue.enqueue(enqueued)
    [old] = (await queue.reserve(1)).leases
    redis.execute("flushall")
    await queue.enqueue(enqueued)
    [new] = (await queue.reserve(1)).leases
    assert new.epoch > old.epoch
    assert await queue.ack([old]) == [JobResult.FENCED]
    assert await queue.ack([new]) == [JobResult.DONE]


async def test_missing_scripts_are_sent_again(redis: Redis, queue: RedisQueue) -> None:
    for _ in range(2):
        await queue.enqueue(jobs(1))
        assert len((await queue.reserve(1)).leases) == 1
        redis.execute("script", "flush")


async def test_full_redis_rejects_jobs_and_still_hands_them_out(redis: Redis, queue: RedisQueue) -> None:
    await queue.enqueue(jobs(100))
    redis.execute("config", "set", "maxmemory", "1mb")
    with pytest.raises(TemporaryError, match="returned a transient error"):
        await queue.enqueue(jobs(1))
    leases = (await queue.reserve(100)).leases
    assert len(leases) == 100
    assert set(await queue.ack(leases)) == {JobResult.DONE}


async def test_stalled_redis_times_out(redis: Redis, queue: RedisQueue, redis_client: RedisClient) -> None:
    assert await redis_client.readiness_problem() is None
    redis.execute("client", "pause", "3000", "all")
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(TemporaryError, match="did not answer"):
        await queue.reserve(1)
    assert loop.time() - started_at < 2.5
    assert "did not answer" in str(await redis_client.readiness_problem())


async def test_all_keys_of_a_queue_share_a_cluster_slot() -> None:
    redis = Redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    try:
        redis.start()
        redis.execute("cluster", "addslotsrange", "0", "16383")
        await asyncio.to_thread(
            wait_until,
            "the cluster is up",
            lambda: "cluster_state:ok" in redis.execute("cluster", "info"),
            30.0,
        )
        async with connect(redis) as redis_client:
            queue = RedisQueue(redis_client, NAME, CONFIG)
            await queue.enqueue(jobs(10))
            leases = (await queue.reserve(5)).leases
            assert await queue.ack(leases[:3]) == [JobResult.DONE] * 3
            assert (await queue.stats()).depth == 5
            slots = {redis.execute("cluster", "keyslot", f"esq:queue:{{{NAME}}}:{key}") for key in KEYS}
            assert len(slots) == 1
    finally:
        redis.stop()


async def test_scripts_access_only_declared_keys(redis: Redis, redis_client: RedisClient) -> None:
    """Redis rejects undeclared keys of a user who may use only the keys of one queue."""
    redis.execute("acl", "setuser", NAME.domain, "resetkeys", "%RW~esq:queue:{test.work}:*")
    queue = RedisQueue(redis_client, NAME, CONFIG)
    await queue.enqueue(jobs(3))
    leases = (await queue.reserve(3)).leases
    assert set(await queue.ack(leases)) == {JobResult.DONE}
    with pytest.raises(ResponseError, match="permissions"):
        await RedisQueue(redis_client, QueueName("test", "other"), CONFIG).enqueue(jobs(1))


async def test_primary_is_found_with_one_dead_and_one_unresponsive_sentinel(
    redis: Redis, tmp_path: Path
) -> None:
    unresponsive = socket.create_server(("127.0.0.1", 0))
    port = free_port()
    sentinel = Server("sentinel", tmp_path / "log")
    users, config = tmp_path / "users.acl", tmp_path / "sentinel.conf"
    try:
        users.write_text(redis_config.render_sentinel_users(accounts(NAME.domain)))
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\naclfile {users}\n"
            f"sentinel monitor esq 127.0.0.1 {redis.port} 1\n"
            f"sentinel auth-user esq {redis_config.SENTINEL}\nsentinel auth-pass esq {PASSWORD}\n"
        )
        sentinel.launch(["redis-server", str(config), "--sentinel"])
        dead_port, unresponsive_port = free_port(), unresponsive.getsockname()[1]
        sentinels = f"127.0.0.1:{dead_port},127.0.0.1:{unresponsive_port},127.0.0.1:{port}"
        settings = redis.settings(redis_server="", redis_sentinels=sentinels)
        async with open_redis(PROCESS, settings) as redis_client:
            queue = RedisQueue(redis_client, NAME, CONFIG)
            async with asyncio.timeout(20):
                while await redis_client.readiness_problem() is not None:
                    await asyncio.sleep(0.1)
            await queue.enqueue(jobs(1))
            [lease] = (await queue.reserve(1)).leases
            assert lease.disposition is Disposition.RUN
    finally:
        unresponsive.close()
        sentinel.kill()


async def test_metrics_have_queue_and_class_but_no_company_label(queue: RedisQueue) -> None:
    await queue.enqueue(jobs(3, priority=1))
    [lease, *_] = (await queue.reserve(1)).leases
    await queue.ack([lease])
    metrics.export_stats(queue.name, await queue.stats())
    labels = {"queue": "test", "class": "work"}
    assert metric("esq_queue_ready_jobs", **labels, priority="1") == 2
    assert metric("esq_queue_wait_seconds_count", **labels)
    assert metric("esq_queue_jobs_completed_total", **labels, result="done")
    names = {label for family in REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert "company" not in names


def test_script_text_starts_with_flags_and_has_a_hash() -> None:
    for name, script in SCRIPTS.items():
        assert script.text.startswith("#!lua"), name
        assert len(script.sha) == 40
