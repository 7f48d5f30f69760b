"""Contract of the queue: admission control."""

from __future__ import annotations

import pytest

from services.kit.errors import OverloadedError
from services.kit.queue.fakes import FakeQueue
from services.kit.queue.job import EnqueueResult
from services.kit.queue.ports import Queue
from tests.clock import FakeClock
from tests.contract.queue.jobs import drain, job, moment

pytestmark = pytest.mark.contract


async def measure_throughput(queue: Queue, clock: FakeClock, per_second: int = 10) -> None:
    """Let the queue measure the throughput of its consumers."""
    await queue.enqueue([job("warm-up") for _ in range(5 * per_second)])
    await drain(queue, clock, per_second=per_second)
    if isinstance(queue, FakeQueue):
        queue.throughput = float(per_second)


async def test_job_that_cannot_start_before_deadline_is_rejected(queue: Queue, clock: FakeClock) -> None:
    await measure_throughput(queue, clock)
    await queue.enqueue([job() for _ in range(100)])
    with pytest.raises(OverloadedError) as caught:
        await queue.enqueue([job(), job(deadline=moment(clock, 6))])
    assert caught.value.status == 429
    assert caught.value.wait_seconds == pytest.approx(10, rel=0.2)
    assert caught.value.retry_after == pytest.approx(4, abs=2)
    assert (await queue.stats()).depth == 100


async def test_job_that_can_start_before_deadline_is_accepted(queue: Queue, clock: FakeClock) -> None:
    await measure_throughput(queue, clock)
    await queue.enqueue([job() for _ in range(100)])
    high_priority = job(priority=0, deadline=moment(clock, 1))
    late_deadline = job(deadline=moment(clock, 20))
    other_company = job("small", deadline=moment(clock, 3))
    assert await queue.enqueue([high_priority, late_deadline, other_company]) == EnqueueResult(3, 0)


async def test_wait_includes_jobs_of_the_same_batch(queue: Queue, clock: FakeClock) -> None:
    await measure_throughput(queue, clock)
    with pytest.raises(OverloadedError):
        await queue.enqueue([job(deadline=moment(clock, 5)) for _ in range(100)])
    batch = [job(deadline=moment(clock, 5)) for _ in range(30)]
    assert await queue.enqueue(batch) == EnqueueResult(30, 0)


async def test_wait_includes_batch_jobs_without_deadline(queue: Queue, clock: FakeClock) -> None:
    await measure_throughput(queue, clock)
    urgent = job(deadline=moment(clock, 5))
    with pytest.raises(OverloadedError):
        await queue.enqueue([*(job() for _ in range(60)), urgent])
    delayed = [job(not_before=moment(clock, 100)) for _ in range(60)]
    assert await queue.enqueue([*delayed, urgent]) == EnqueueResult(61, 0), "delayed jobs do not precede it"


async def test_all_jobs_are_accepted_before_throughput_is_known(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job() for _ in range(1000)])
    assert await queue.enqueue([job(deadline=moment(clock, 1))]) == EnqueueResult(1, 0)


async def test_job_with_past_deadline_is_rejected(queue: Queue, clock: FakeClock) -> None:
    with pytest.raises(OverloadedError):
        await queue.enqueue([job(deadline=moment(clock, -1))])


async def test_full_queue_accepts_only_admitted_jobs(queue: Queue) -> None:
    await queue.enqueue([job() for _ in range(1000)])
    await queue.enqueue([job() for _ in range(1000)])
    with pytest.raises(OverloadedError, match="full"):
        await queue.enqueue([job()])
    assert await queue.enqueue([job()], admitted=True) == EnqueueResult(1, 0)
