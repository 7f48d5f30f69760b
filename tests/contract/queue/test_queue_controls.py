"""Contract of the queue: operator controls and statistics."""

from __future__ import annotations

import pytest

from services.kit.queue.job import Controls, Disposition, EnqueueResult, JobResult
from services.kit.queue.ports import DrainingError, Queue
from tests.clock import FakeClock
from tests.contract.queue.jobs import job, moment, reserve

pytestmark = pytest.mark.contract


async def test_paused_queue_hands_out_only_expired_jobs(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job(), job(deadline=moment(clock, 5))])
    assert await queue.update_controls(paused=True) == Controls(paused=True)
    assert await reserve(queue) == []
    clock.advance(6)
    assert [lease.disposition for lease in await reserve(queue)] == [Disposition.EXPIRED]
    assert await queue.enqueue([job()]) == EnqueueResult(1, 0)
    await queue.update_controls(paused=False)
    assert len(await reserve(queue)) == 2


@pytest.mark.parametrize("admitted", [False, True])
async def test_draining_queue_rejects_new_jobs_until_resumed(queue: Queue, admitted: bool) -> None:  # noqa: FBT001 - parameter of the test
    await queue.enqueue([job()])
    assert (await queue.update_controls(draining=True)).draining
    with pytest.raises(DrainingError, match="draining"):
        await queue.enqueue([job()], admitted=admitted)
    [lease] = await reserve(queue)
    assert await queue.ack([lease]) == [JobResult.DONE]
    assert await reserve(queue) == []
    assert (await queue.update_controls(draining=False)) == Controls()
    assert await queue.enqueue([job()], admitted=admitted) == EnqueueResult(1, 0)


async def test_rate_limit_bounds_jobs_per_second(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job() for _ in range(200)])
    await queue.update_controls(rate_limit=10)
    reserved = []
    for _ in range(50):
        reserved.append(len(await reserve(queue, 100)))
        clock.advance(0.1)
    assert reserved[0] == 10
    assert 10 + 45 <= sum(reserved) <= 10 + 50
    assert (await queue.update_controls(rate_limit=0)).rate_limit == 0
    assert len(await reserve(queue, 100)) == 100


async def test_stats(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job("a", priority=0), job("b", priority=3), job("b", priority=3)])
    await queue.enqueue(
        [job("c", not_before=moment(clock, 50)), job("a", priority=1, deadline=moment(clock, 20))]
    )
    clock.advance(16)
    await reserve(queue, 1)
    stats = await queue.stats()
    assert (stats.ready, stats.depth, stats.delayed, stats.leased) == ((0, 1, 0, 2), 3, 1, 1)
    assert (stats.lanes, stats.near_deadline) == (2, 1)
    assert stats.oldest_age_seconds == pytest.approx(16)
