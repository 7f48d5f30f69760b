"""Contract of the queue: enqueueing, deduplication, delays and deadlines."""

from __future__ import annotations

import dataclasses
from uuid import UUID, uuid4

import pytest

from services.kit.errors import InvalidError
from services.kit.queue.job import Disposition, EnqueueResult, Job, JobResult, job_id_from_key
from services.kit.queue.ports import Queue
from tests.clock import FakeClock
from tests.contract.queue.conftest import CONFIG, QueueFactory
from tests.contract.queue.jobs import job, moment, reserve

pytestmark = pytest.mark.contract


async def test_reserved_job_has_enqueued_attributes(queue: Queue, clock: FakeClock) -> None:
    enqueued = Job(uuid4(), "acme-2", b"\x00payload\xff", priority=1)
    assert await queue.enqueue([enqueued]) == EnqueueResult(1, 0)
    clock.advance(2.5)
    [lease] = await reserve(queue)
    assert (lease.id, lease.company, lease.payload, lease.priority) == (
        enqueued.id,
        "acme-2",
        b"\x00payload\xff",
        1,
    )
    assert (lease.attempt, lease.disposition) == (1, Disposition.RUN)
    assert lease.waited_seconds == pytest.approx(2.5)
    assert await reserve(queue) == []
    assert await queue.ack([lease]) == [JobResult.DONE]
    assert (await queue.stats()).totals == {"added": 1, "done": 1, "expired": 0}


async def test_order_within_and_between_batches_is_kept(queue: Queue, clock: FakeClock) -> None:
    batches = [[job() for _ in range(100)] for _ in range(3)]
    for batch in batches:
        await queue.enqueue(batch)
        clock.advance(1)
    expected = [enqueued.id for batch in batches for enqueued in batch]
    assert [lease.id for _ in range(30) for lease in await reserve(queue, 10)] == expected


async def test_reserve_returns_at_most_max_jobs(queue: Queue) -> None:
    await queue.enqueue([job() for _ in range(7)])
    assert [len(await reserve(queue, 3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_batch_with_invalid_job_is_rejected_with_all_errors(queue: Queue, clock: FakeClock) -> None:
    invalid = [
        job("Not A Company"),
        job(priority=4),
        job(payload=b"x" * 257),
        job(not_before=moment(clock, 5), deadline=moment(clock, 5)),
    ]
    with pytest.raises(InvalidError) as caught:
        await queue.enqueue([job(), *invalid])
    for part in ("not a company", "priority 4", "257 bytes", "deadline is not after"):
        assert part in str(caught.value)
    assert (await queue.stats()).depth == 0


async def test_batch_size_limits(queue: Queue) -> None:
    with pytest.raises(InvalidError, match="1001 jobs in one call"):
        await queue.enqueue([job() for _ in range(1001)])
    assert await queue.enqueue([]) == EnqueueResult(0, 0)
    assert await queue.ack([]) == []


async def test_id_in_queue_is_not_added_again(queue: Queue, clock: FakeClock) -> None:
    ready, delayed = job(), job(not_before=moment(clock, 60))
    assert await queue.enqueue([ready, delayed, ready]) == EnqueueResult(2, 1)
    assert await queue.enqueue([ready, delayed]) == EnqueueResult(0, 2)
    [lease] = await reserve(queue)
    assert await queue.enqueue([ready]) == EnqueueResult(0, 1)
    await queue.ack([lease])
    assert await queue.enqueue([ready]) == EnqueueResult(1, 0)


async def test_completed_id_is_duplicate_within_dedup_ttl(
    create_queue: QueueFactory, clock: FakeClock
) -> None:
    queue = create_queue(dataclasses.replace(CONFIG, dedup_ttl_seconds=60))
    repeated = job()
    await queue.enqueue([repeated])
    [lease] = await reserve(queue)
    await queue.ack([lease])
    clock.advance(59)
    assert await queue.enqueue([repeated]) == EnqueueResult(0, 1)
    clock.advance(2)
    assert await queue.enqueue([repeated]) == EnqueueResult(1, 0)


def test_job_id_from_key_is_deterministic() -> None:
    assert job_id_from_key("campaign 1, contact 2") == job_id_from_key("campaign 1, contact 2")
    assert isinstance(job_id_from_key("a"), UUID)
    assert job_id_from_key("a") != job_id_from_key("b")


async def test_delayed_job_is_not_reserved_before_its_start(queue: Queue, clock: FakeClock) -> None:
    delayed = job(not_before=moment(clock, 10))
    await queue.enqueue([delayed])
    reserved = await queue.reserve(10)
    assert (reserved.leases, reserved.next_due_seconds) == ([], pytest.approx(10))
    assert ((await queue.stats()).delayed, (await queue.stats()).depth) == (1, 0)
    clock.advance(11)
    [lease] = await reserve(queue)
    assert lease.id == delayed.id
    assert lease.waited_seconds == pytest.approx(1)


async def test_job_past_deadline_is_reserved_as_expired(queue: Queue, clock: FakeClock) -> None:
    expiring, other = job(deadline=moment(clock, 10)), job()
    await queue.enqueue([expiring, other])
    clock.advance(10)
    leases = {lease.id: lease for lease in await reserve(queue)}
    assert (leases[expiring.id].disposition, leases[expiring.id].attempt) == (Disposition.EXPIRED, 0)
    assert leases[other.id].disposition is Disposition.RUN
    assert (await queue.stats()).totals["expired"] == 1
    await queue.ack([leases[expiring.id]])
    assert await reserve(queue) == []


async def test_unacknowledged_expired_job_is_reserved_again(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job(deadline=moment(clock, 10))])
    clock.advance(10)
    [first] = await reserve(queue)
    clock.advance(31)
    [second] = await reserve(queue)
    assert (first.disposition, second.disposition) == (Disposition.EXPIRED, Disposition.EXPIRED)
    assert second.epoch > first.epoch


async def test_job_reserved_before_deadline_does_not_expire(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job(deadline=moment(clock, 10))])
    [lease] = await reserve(queue)
    clock.advance(20)
    assert await queue.ack([lease]) == [JobResult.DONE]
