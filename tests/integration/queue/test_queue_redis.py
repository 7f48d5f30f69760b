"""The queue while things die: workers, connections, Redis and all that is in it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ResponseError

from services.kit.errors import TemporaryError
from services.kit.queue import metrics
from services.kit.queue.engine import RedisQueue
from services.kit.queue.job import Controls, Fate, Job, QueueName, QueueRules, Verdict
from services.kit.queue.refill import Refiller
from services.kit.queue.scripts import KEYS, SCRIPTS
from services.kit.queue.worker import Worker
from services.kit.redis import open_redis
from services.kit.settings import RedisSettings
from tests.controllers.process import Server, await_true, free_port
from tests.controllers.redis import Redis
from tests.integration.queue.conftest import PROCESS, Workers, connect
from tests.integration.queue.working import NAME, RULES
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.kit.queue.job import Lease
    from services.kit.redis import Connection

pytestmark = pytest.mark.integration


def jobs(count: int, **more: object) -> list[Job]:
    return [Job(uuid4(), f"company-{place % 5}", **more) for place in range(count)]  # type: ignore[arg-type]


async def eventually(what: str, ask: object, seconds: float = 30.0) -> None:
    """Wait for it beside what else runs on the loop."""
    assert callable(ask)
    await asyncio.to_thread(await_true, what, ask, seconds)


class Record:
    """Where jobs of record are: owed until they were run."""

    def __init__(self, owed: Sequence[Job] = ()) -> None:
        self.jobs = {job.id: job for job in owed}
        self.ran: list[UUID] = []
        self.lost_ones: list[UUID] = []
        self.asked = 0

    async def owed(self) -> AsyncIterator[Sequence[Job]]:
        """See `Refill`."""
        self.asked += 1
        waiting = [job for job in self.jobs.values() if job.id not in set(self.ran)]
        for at in range(0, len(waiting), 100):
            yield waiting[at : at + 100]

    async def run(self, lease: Lease) -> None:
        """See `Handler`."""
        await asyncio.sleep(0.001)
        self.ran.append(lease.id)

    async def lost(self, lease: Lease) -> None:
        """See `Handler`."""
        self.lost_ones.append(lease.id)


async def test_a_worker_killed_at_work_loses_nothing(queue: RedisQueue, workers: Workers) -> None:
    given = jobs(400)
    await queue.enqueue(given)
    victim, _ = workers.start(), workers.start()
    await eventually("half of it is done", lambda: len(workers.ran()) > 200)
    victim.kill()
    await eventually("all of it is done", lambda: len(workers.ran()) == 400, 60)
    assert set(workers.ran()) == {str(job.id) for job in given}
    twice = sum(count - 1 for count in workers.ran().values())
    assert twice <= 10, "only what the dead one had under way is run again"


async def test_jobs_start_at_once_when_a_worker_waits(queue: RedisQueue) -> None:
    record, stop = Record(), asyncio.Event()
    worker = Worker(queue, record, concurrency=4, rng=Random(1))
    running = asyncio.gather(worker.run(stop), worker.settle(stop))
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(20):
        await asyncio.sleep(0.02)  # the worker is idle again
        began, [job] = loop.time(), jobs(1)
        await queue.enqueue([job])
        while job.id not in record.ran:
            await asyncio.sleep(0.001)
        waits.append(loop.time() - began)
    stop.set()
    await running
    assert sorted(waits)[10] < 0.25, "woken, not found by the next look"


async def test_one_token_wakes_as_many_workers_as_there_is_work(queue: RedisQueue) -> None:
    record, stop = Record(), asyncio.Event()
    workers = [Worker(queue, record, concurrency=1, rng=Random(1)) for _ in range(3)]
    running = asyncio.gather(*(task for each in workers for task in (each.run(stop), each.settle(stop))))
    await queue.enqueue(jobs(30))
    await eventually("all ran", lambda: len(record.ran) == 30)
    stop.set()
    await running
    assert (await queue.stats()).totals["done"] == 30


async def test_flushed_under_load_nothing_is_lost(redis: Redis, queue: RedisQueue) -> None:
    record, stop = Record(), asyncio.Event()
    worker = Worker(queue, record, concurrency=20, rng=Random(1))
    refiller = Refiller(queue, record, every_seconds=0.05)

    async def produce() -> None:
        for _ in range(100):
            batch = jobs(20)
            record.jobs |= {job.id: job for job in batch}
            await queue.enqueue(batch)
            await asyncio.sleep(0.005)

    async def flush() -> None:
        for _ in range(5):
            await asyncio.sleep(0.15)
            await asyncio.to_thread(redis.ask, "flushall")

    tasks = asyncio.gather(worker.run(stop), worker.settle(stop), refiller.run(stop))
    await asyncio.gather(produce(), flush())
    await eventually("every job ran", lambda: set(record.ran) >= set(record.jobs), 60)
    stop.set()
    await tasks
    assert set(record.ran) == set(record.jobs)
    assert len(record.jobs) == 2000


async def test_a_restarted_redis_is_filled_once_and_a_known_one_never(
    redis: Redis, queue: RedisQueue
) -> None:
    record = Record(jobs(250))
    refiller, other = Refiller(queue, record), Refiller(queue, record)
    assert [await refiller.look(), await other.look(), await refiller.look()] == [250, 0, 0]
    redis.kill()
    with pytest.raises(TemporaryError):
        await refiller.look()
    redis.start()
    assert [await other.look(), await refiller.look()] == [250, 0]
    assert (await queue.stats()).depth == 250


async def test_what_is_still_there_is_not_filled_twice(redis: Redis, queue: RedisQueue) -> None:
    record = Record(jobs(250))
    refiller = Refiller(queue, record)
    await refiller.look()
    held = (await queue.reserve(50)).leases
    # What a failover does.
    redis.ask("debug", "change-repl-id")
    assert (await refiller.look(), record.asked) == (0, 2)
    assert (await refiller.look(), record.asked) == (0, 2)
    assert (await queue.stats()).depth == 200
    assert await queue.settle([held[0].done()]) == [Verdict.DONE]


async def test_a_flush_while_it_is_filled_begins_it_anew(redis: Redis, queue: RedisQueue) -> None:
    record = Record(jobs(300))

    class Interrupted(Record):
        async def owed(self) -> AsyncIterator[Sequence[Job]]:
            async for batch in super().owed():
                yield batch
                await asyncio.to_thread(redis.ask, "flushall")

    interrupted = Interrupted(list(record.jobs.values()))
    await Refiller(queue, interrupted).look()
    assert (await queue.stats()).depth == 0
    assert await Refiller(queue, record).look() == 300


async def test_a_pause_outlives_a_flush(redis: Redis, queue: RedisQueue) -> None:
    refiller = Refiller(queue, Record(jobs(3)))
    await refiller.look()
    await queue.control(paused=True, limit=7)
    await refiller.look()
    redis.ask("flushall")
    assert await refiller.look() == 3
    assert (await queue.stats()).controls == Controls(paused=True, limit=7)
    assert (await queue.reserve(10)).leases == []


async def test_epochs_grow_across_a_flush(redis: Redis, queue: RedisQueue) -> None:
    given = jobs(1)
    await queue.enqueue(given)
    [old] = (await queue.reserve(1)).leases
    redis.ask("flushall")
    await queue.enqueue(given)
    [new] = (await queue.reserve(1)).leases
    assert new.epoch > old.epoch
    assert await queue.settle([old.done()]) == [Verdict.STALE]
    assert await queue.settle([new.done()]) == [Verdict.DONE]


async def test_a_server_that_forgot_the_scripts_is_sent_them_again(redis: Redis, queue: RedisQueue) -> None:
    for _ in range(2):
        await queue.enqueue(jobs(1))
        assert len((await queue.reserve(1)).leases) == 1
        redis.ask("script", "flush")


async def test_a_full_redis_refuses_jobs_and_still_hands_out_those_it_has(
    redis: Redis, queue: RedisQueue
) -> None:
    await queue.enqueue(jobs(100))
    redis.ask("config", "set", "maxmemory", "1mb")
    with pytest.raises(TemporaryError, match="refuses for now"):
        await queue.enqueue(jobs(1))
    leases = (await queue.reserve(100)).leases
    assert len(leases) == 100
    assert set(await queue.settle([lease.done() for lease in leases])) == {Verdict.DONE}


async def test_a_stalled_redis_is_given_up_in_time(
    redis: Redis, queue: RedisQueue, connection: Connection
) -> None:
    assert await connection.reason() is None
    redis.ask("client", "pause", "3000", "all")
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TemporaryError, match="did not answer"):
        await queue.reserve(1)
    assert loop.time() - began < 2.5
    assert "did not answer" in str(await connection.reason())


async def test_without_redis_jobs_under_way_end_and_are_settled_later(
    redis: Redis, queue: RedisQueue
) -> None:
    record, stop = Record(), asyncio.Event()
    worker = Worker(queue, record, concurrency=5, rng=Random(1))
    await queue.enqueue(jobs(5))
    running = asyncio.create_task(worker.run(stop))
    await eventually("all run", lambda: len(record.ran) == 5)
    redis.ask("client", "kill", "type", "normal")
    settling = asyncio.create_task(worker.settle(stop))
    stop.set()
    with suppress(TemporaryError):
        await running
    await settling
    assert (await queue.stats()).totals["done"] == 5


async def test_failures_are_retried_buried_or_reported(connection: Connection) -> None:
    queue = RedisQueue(
        connection, NAME, QueueRules(first_pause=0.01, longest_pause=0.02, attempts=3, lease_seconds=5)
    )
    passing, broken, late, fine = jobs(4)
    late = Job(late.id, "acme", deadline=None)

    class Failing(Record):
        async def run(self, lease: Lease) -> None:
            await super().run(lease)
            if lease.id == passing.id:
                raise TemporaryError("provider away")
            if lease.id == broken.id:
                raise ValueError("phone number in a message")

    record, stop = Failing(), asyncio.Event()
    worker = Worker(queue, record, concurrency=5, rng=Random(1))
    await queue.enqueue([passing, broken, late, fine])
    tasks = asyncio.gather(worker.run(stop), worker.settle(stop))
    await eventually("it was tried three times", lambda: record.ran.count(passing.id) == 3)
    stop.set()
    await tasks
    letters = {letter.id: letter for letter in await queue.dead(10)}
    assert (letters[passing.id].reason, letters[passing.id].attempts) == ("provider away", 3)
    assert letters[broken.id].reason == "ValueError", "what an unexpected error says may be private"
    assert (await queue.stats()).totals == {"added": 4, "done": 2, "retried": 2, "expired": 0, "dead": 2}


async def test_all_keys_of_a_queue_share_a_slot_and_every_script_is_given_them() -> None:
    redis = Redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    try:
        redis.start()
        redis.ask("cluster", "addslotsrange", "0", "16383")
        await eventually("the cluster is up", lambda: "cluster_state:ok" in redis.ask("cluster", "info"))
        async with connect(redis) as connection:
            queue = RedisQueue(connection, NAME, RULES)
            refiller = Refiller(queue, Record(jobs(10)))
            assert await refiller.look() == 10
            leases = (await queue.reserve(5)).leases
            assert await queue.extend(leases) == leases
            verdicts = await queue.settle([leases[0].done(), leases[1].retry(1, "x"), leases[2].dead("y")])
            assert verdicts == [Verdict.DONE, Verdict.RETRY, Verdict.DEAD]
            assert (await queue.stats()).depth == 5
            slots = {redis.ask("cluster", "keyslot", f"esq:queue:{{{NAME}}}:{key}") for key in KEYS}
            assert len(slots) == 1
    finally:
        redis.stop()


async def test_scripts_touch_no_key_that_was_not_declared(redis: Redis, connection: Connection) -> None:
    """Redis itself refuses undeclared keys to a user who may only use a queue's own."""
    redis.ask("acl", "setuser", "default", "resetkeys", "%RW~esq:queue:{test.work}:*")
    queue = RedisQueue(connection, NAME, RULES)
    await queue.enqueue(jobs(3))
    leases = (await queue.reserve(3)).leases
    assert set(await queue.settle([lease.done() for lease in leases])) == {Verdict.DONE}
    with pytest.raises(ResponseError, match="permissions"):
        await RedisQueue(connection, QueueName("test", "other"), RULES).enqueue(jobs(1))


async def test_the_primary_is_found_by_its_sentinels_though_one_is_dead_and_one_mute(tmp_path: Path) -> None:
    redis = Redis(password="secret")
    mute = socket.create_server(("127.0.0.1", 0))
    port = free_port()
    sentinel = Server("sentinel", tmp_path / "log")
    config = tmp_path / "sentinel.conf"
    try:
        redis.start()
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nrequirepass guarded\n"
            f"sentinel monitor esq 127.0.0.1 {redis.port} 1\nsentinel auth-pass esq secret\n"
        )
        sentinel.launch(["redis-server", str(config), "--sentinel"])
        settings = RedisSettings(
            redis_sentinels=f"127.0.0.1:{free_port()},127.0.0.1:{mute.getsockname()[1]},127.0.0.1:{port}",
            redis_password="secret",  # type: ignore[arg-type]  # as the environment gives it
            redis_sentinel_password="guarded",  # type: ignore[arg-type]
        )
        async with open_redis(PROCESS, settings) as connection:
            queue = RedisQueue(connection, NAME, RULES)
            async with asyncio.timeout(20):
                while await connection.reason() is not None:
                    await asyncio.sleep(0.1)
            await queue.enqueue(jobs(1))
            [lease] = (await queue.reserve(1)).leases
            assert lease.fate is Fate.RUN
    finally:
        mute.close()
        sentinel.kill()
        redis.stop()


async def test_metrics_name_queue_and_class_and_no_company(queue: RedisQueue) -> None:
    await queue.enqueue(jobs(3, priority=1))
    [lease, *_] = (await queue.reserve(1)).leases
    await queue.settle([lease.done()])
    metrics.show(queue.name, await queue.stats())
    of_queue = {"queue": "test", "class": "work"}
    assert metric("esq_queue_depth", **of_queue, priority="1") == 2
    assert metric("esq_queue_wait_seconds_count", **of_queue)
    assert metric("esq_queue_settled_total", **of_queue, verdict="done")
    names = {label for family in REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert "company" not in names


def test_every_script_has_its_flags_first_and_a_hash_of_its_text() -> None:
    for name, script in SCRIPTS.items():
        assert script.text.startswith("#!lua"), name
        assert len(script.sha) == 40
