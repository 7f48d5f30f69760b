"""Contract of the queue: leases, acknowledgements, and no lost jobs under random failures."""

from __future__ import annotations

import dataclasses
from random import Random
from uuid import UUID

import pytest

from services.kit.queue.job import Disposition, JobResult
from services.kit.queue.ports import Queue
from tests.clock import FakeClock
from tests.contract.queue.conftest import CONFIG, QueueFactory
from tests.contract.queue.jobs import job, moment, reserve

pytestmark = pytest.mark.contract


async def test_job_with_expired_lease_is_reserved_again(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job()])
    [lost] = await reserve(queue)
    clock.advance(29)
    assert await reserve(queue) == []
    clock.advance(1)
    [second] = await reserve(queue)
    assert (second.id, second.attempt) == (lost.id, 2)
    assert second.epoch > lost.epoch


async def test_ack_with_old_epoch_is_fenced(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job()])
    [old] = await reserve(queue)
    clock.advance(30)
    [new] = await reserve(queue)
    assert await queue.ack([old]) == [JobResult.FENCED]
    assert await queue.ack([new, new]) == [JobResult.DONE, JobResult.FENCED]
    assert (await queue.stats()).totals["done"] == 1


async def test_job_without_ack_is_exhausted_after_max_attempts(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job()])
    leases = []
    for _ in range(4):
        [lease] = await reserve(queue)
        leases.append((lease.disposition, lease.attempt))
        clock.advance(30)
    assert leases == [
        (Disposition.RUN, 1),
        (Disposition.RUN, 2),
        (Disposition.RUN, 3),
        (Disposition.EXHAUSTED, 3),
    ]
    [lease] = await reserve(queue)
    assert await queue.ack([lease]) == [JobResult.DONE]


@pytest.mark.parametrize("seed", range(5))
async def test_every_job_completes_once_under_random_failures(
    create_queue: QueueFactory, clock: FakeClock, seed: int
) -> None:
    """Random jobs and crashed consumers: every job is acknowledged exactly once."""
    queue = create_queue(dataclasses.replace(CONFIG, max_attempts=50))
    random = Random(seed)
    enqueued: set[UUID] = set()
    completed: list[UUID] = []
    for _ in range(60):
        batch = [
            job(
                random.choice("abc"),
                priority=random.randrange(4),
                not_before=moment(clock, random.randrange(1, 9)) if random.random() < 0.2 else None,
                deadline=moment(clock, random.randrange(10, 60)) if random.random() < 0.3 else None,
            )
            for _ in range(random.randrange(10))
        ]
        enqueued |= {new.id for new in batch}
        await queue.enqueue(batch, admitted=True)
        for lease in await reserve(queue, random.randrange(1, 12)):
            if random.random() < 0.4:
                continue  # its consumer crashes
            if await queue.ack([lease]) == [JobResult.DONE]:
                completed.append(lease.id)
        clock.advance(random.random() * 10)
    for _ in range(20):
        clock.advance(31)
        leases = await reserve(queue)
        completed += [lease.id for lease in leases]
        await queue.ack(leases)
    assert sorted(completed) == sorted(enqueued)
    stats = await queue.stats()
    assert (stats.depth, stats.delayed, stats.leased, stats.lanes, stats.near_deadline) == (0, 0, 0, 0, 0)
