"""Contract of the queue: priority, aging, deadlines, and fairness between companies."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from services.kit.queue.job import Lease
from services.kit.queue.ports import Queue
from tests.clock import FakeClock
from tests.contract.queue.jobs import job, moment, reserve

pytestmark = pytest.mark.contract


async def test_higher_priority_is_reserved_first(queue: Queue) -> None:
    jobs = [job(priority=priority) for priority in (3, 1, 2, 0, 1)]
    await queue.enqueue(jobs)
    assert [lease.priority for _ in range(5) for lease in await reserve(queue, 1)] == [0, 1, 1, 2, 3]


async def test_aged_jobs_are_not_starved_by_high_priority(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job(priority=3) for _ in range(20)])
    clock.advance(61)
    reserved = []
    for _ in range(10):
        await queue.enqueue([job(priority=0) for _ in range(10)])
        reserved += [lease.priority for lease in await reserve(queue, 10)]
    assert reserved.count(3) == 10
    assert reserved.count(0) == 90


async def test_jobs_below_aging_time_wait_for_higher_priority(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job(priority=3) for _ in range(20)])
    clock.advance(59)
    await queue.enqueue([job(priority=0) for _ in range(100)])
    assert {lease.priority for lease in await reserve(queue, 100)} == {0}


async def test_job_near_deadline_precedes_higher_priority(queue: Queue, clock: FakeClock) -> None:
    urgent = job(priority=3, deadline=moment(clock, 30))
    await queue.enqueue([urgent])
    await queue.enqueue([job(priority=0) for _ in range(100)])
    assert urgent.id not in {lease.id for lease in await reserve(queue, 10)}
    clock.advance(26)
    assert (await queue.stats()).near_deadline == 1
    assert urgent.id in {lease.id for lease in await reserve(queue, 2)}


async def test_jobs_near_deadline_get_half_of_the_selections(queue: Queue, clock: FakeClock) -> None:
    await queue.enqueue([job("urgent", priority=3, deadline=moment(clock, 4)) for _ in range(100)])
    await queue.enqueue([job("other", priority=0) for _ in range(100)])
    companies = [lease.company for _ in range(10) for lease in await reserve(queue, 5)]
    assert companies.count("urgent") == companies.count("other") == 25


async def test_nearest_deadline_is_reserved_first(queue: Queue, clock: FakeClock) -> None:
    jobs = [job(priority=3, deadline=moment(clock, seconds)) for seconds in (4, 2, 3)]
    await queue.enqueue([*jobs, *[job(priority=0) for _ in range(10)]])
    urgent = [lease.id for lease in await reserve(queue, 6) if lease.priority == 3]
    assert urgent == [jobs[1].id, jobs[2].id, jobs[0].id]


@pytest.mark.parametrize("batch", [1, 7, 64])
async def test_companies_are_served_round_robin(queue: Queue, batch: int) -> None:
    await queue.enqueue([job("large") for _ in range(500)])
    await queue.enqueue([job("medium") for _ in range(200)])
    await queue.enqueue([job("small") for _ in range(10)])
    companies: list[str] = []
    while companies.count("small") < 10:
        companies += [lease.company for lease in await reserve(queue, batch)]
    assert len(companies) <= 3 * 10 + batch


async def test_small_tenant_does_not_overtake_backlog(queue: Queue) -> None:
    await queue.enqueue([job("backlog") for _ in range(50)])
    companies = []
    for _ in range(40):
        await queue.enqueue([job("a-small-tenant")])
        companies += [lease.company for lease in await reserve(queue, 1)]
    assert companies.count("backlog") >= 19


async def test_returning_company_does_not_miss_a_round(queue: Queue) -> None:
    companies = [f"company-{number}" for number in range(10)]
    for company in companies:
        await queue.enqueue([job(company)])
    served, in_progress = Counter[str](), list[Lease]()
    for _ in range(100):
        leases = await reserve(queue, 2)
        served.update(lease.company for lease in leases)
        # A company has its next job only after its current one has finished, one call later.
        for lease in in_progress:
            await queue.enqueue([job(lease.company)])
        in_progress = leases
    assert max(served.values()) - min(served.values()) <= 2


@pytest.mark.parametrize("seed", range(3))
async def test_wait_is_at_most_twice_the_fair_share(queue: Queue, clock: FakeClock, seed: int) -> None:
    random = Random(seed)
    companies = [f"company-{number}" for number in range(8)]
    last_served = dict.fromkeys(companies, 0)
    for company in companies:
        await queue.enqueue([job(company) for _ in range(random.randrange(60, 200))])
    for selection in range(400):
        clock.advance(0.01)
        [lease] = await reserve(queue, 1)
        if selection % 3 == 0:
            await queue.enqueue([job(random.choice(companies)) for _ in range(random.randrange(1, 9))])
        assert selection - last_served[lease.company] <= 2 * len(companies)
        last_served[lease.company] = selection
