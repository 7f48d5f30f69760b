"""What the queue's port promises, held against the engine on a real Redis and against the fake."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from uuid import UUID, uuid4

import pytest

from services.kit.errors import BusyError, InvalidError, TemporaryError
from services.kit.queue.job import Added, Controls, Fate, Job, Lease, QueueRules, Verdict, id_of
from services.kit.queue.port import Queue
from tests.clock import Clock
from tests.contract.queue.conftest import RULES, Make

pytestmark = pytest.mark.contract


def at(clock: Clock, seconds: float) -> datetime:
    """The moment that lies so far ahead."""
    return datetime.fromtimestamp(clock.now + seconds, UTC)


def job(company: str = "acme", **more: object) -> Job:
    return Job(uuid4(), company, **more)  # type: ignore[arg-type]  # keywords of a test


async def take(queue: Queue, most: int = 1000) -> list[Lease]:
    return (await queue.reserve(most)).leases


async def drained(queue: Queue, clock: Clock, *, per_second: int = 10) -> list[Lease]:
    """Take and finish everything, a few jobs a second: the queue learns that pace."""
    done = []
    while leases := await take(queue, per_second):
        await queue.settle([lease.done() for lease in leases])
        done += leases
        clock.pass_by(1)
    return done


# What goes in comes out -------------------------------------------------------------------------------------


async def test_a_job_comes_out_as_it_went_in(queue: Queue, clock: Clock) -> None:
    put = Job(uuid4(), "acme-2", b"\x00payload\xff", priority=1)
    assert await queue.enqueue([put]) == Added(1, 0)
    clock.pass_by(2.5)
    [lease] = await take(queue)
    assert (lease.id, lease.company, lease.payload, lease.priority) == (
        put.id,
        "acme-2",
        b"\x00payload\xff",
        1,
    )
    assert (lease.attempt, lease.fate, lease.last) == (1, Fate.RUN, False)
    assert lease.waited == pytest.approx(2.5)
    assert await take(queue) == []
    assert await queue.settle([lease.done()]) == [Verdict.DONE]
    assert (await queue.stats()).totals == {"added": 1, "done": 1, "retried": 0, "expired": 0, "dead": 0}


async def test_a_batch_keeps_its_order_and_many_batches_theirs(queue: Queue, clock: Clock) -> None:
    batches = [[job() for _ in range(100)] for _ in range(3)]
    for batch in batches:
        await queue.enqueue(batch)
        clock.pass_by(1)
    expected = [each.id for batch in batches for each in batch]
    assert [lease.id for _ in range(30) for lease in await take(queue, 10)] == expected


async def test_no_more_come_out_than_were_asked_for(queue: Queue) -> None:
    await queue.enqueue([job() for _ in range(7)])
    assert [len(await take(queue, 3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_nothing_is_put_in_when_anything_makes_no_sense(queue: Queue, clock: Clock) -> None:
    wrong = [
        job("Not A Company"),
        job(priority=4),
        job(payload=b"x" * 257),
        job(not_before=at(clock, 5), deadline=at(clock, 5)),
    ]
    with pytest.raises(InvalidError) as told:
        await queue.enqueue([job(), *wrong])
    for words in ("not a company", "priority 4", "257 bytes", "deadline comes before"):
        assert words in str(told.value)
    assert (await queue.stats()).depth == 0


async def test_more_than_a_thousand_at_once_are_refused(queue: Queue) -> None:
    with pytest.raises(InvalidError, match="1001 jobs at once"):
        await queue.enqueue([job() for _ in range(1001)])
    assert await queue.enqueue([]) == Added(0, 0)
    assert await queue.settle([]) == []
    assert await queue.extend([]) == []


# Once per id ------------------------------------------------------------------------------------------------


async def test_a_known_id_is_not_added_again_wherever_it_is(queue: Queue, clock: Clock) -> None:
    waiting, later = job(), job(not_before=at(clock, 60))
    assert await queue.enqueue([waiting, later, waiting]) == Added(2, 1)
    assert await queue.enqueue([waiting, later]) == Added(0, 2)
    [lease] = await take(queue)
    assert await queue.enqueue([waiting]) == Added(0, 1)
    await queue.settle([lease.done()])
    assert await queue.enqueue([waiting]) == Added(1, 0)


async def test_what_is_done_is_remembered_for_a_while_if_asked_for(make: Make, clock: Clock) -> None:
    queue = make(dataclasses.replace(RULES, remember_seconds=60))
    once = job()
    await queue.enqueue([once])
    [lease] = await take(queue)
    await queue.settle([lease.done()])
    clock.pass_by(59)
    assert await queue.enqueue([once]) == Added(0, 1)
    clock.pass_by(2)
    assert await queue.enqueue([once]) == Added(1, 0)


def test_natural_keys_are_ids() -> None:
    assert id_of("campaign 1, contact 2") == id_of("campaign 1, contact 2")
    assert isinstance(id_of("a"), UUID)
    assert id_of("a") != id_of("b")


# Order ------------------------------------------------------------------------------------------------------


async def test_more_urgent_jobs_go_first(queue: Queue) -> None:
    jobs = [job(priority=priority) for priority in (3, 1, 2, 0, 1)]
    await queue.enqueue(jobs)
    assert [lease.priority for _ in range(5) for lease in await take(queue, 1)] == [0, 1, 1, 2, 3]


async def test_the_aged_do_not_starve_behind_a_stream_of_urgent_ones(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(priority=3) for _ in range(20)])
    clock.pass_by(61)
    served = []
    for _ in range(10):
        await queue.enqueue([job(priority=0) for _ in range(10)])
        served += [lease.priority for lease in await take(queue, 10)]
    assert served.count(3) == 10
    assert served.count(0) == 90


async def test_what_has_not_aged_waits_for_all_that_is_more_urgent(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(priority=3) for _ in range(20)])
    clock.pass_by(59)
    await queue.enqueue([job(priority=0) for _ in range(100)])
    assert {lease.priority for lease in await take(queue, 100)} == {0}


async def test_a_job_rises_as_its_deadline_comes_near(queue: Queue, clock: Clock) -> None:
    due = job(priority=3, deadline=at(clock, 30))
    await queue.enqueue([due])
    await queue.enqueue([job(priority=0) for _ in range(100)])
    assert due.id not in {lease.id for lease in await take(queue, 10)}
    clock.pass_by(26)
    assert (await queue.stats()).at_risk == 1
    assert due.id in {lease.id for lease in await take(queue, 2)}


async def test_jobs_at_risk_leave_half_of_the_turns_to_the_others(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job("hasty", priority=3, deadline=at(clock, 4)) for _ in range(100)])
    await queue.enqueue([job("patient", priority=0) for _ in range(100)])
    companies = [lease.company for _ in range(10) for lease in await take(queue, 5)]
    assert companies.count("hasty") == companies.count("patient") == 25


async def test_of_jobs_at_risk_the_nearest_goes_first(queue: Queue, clock: Clock) -> None:
    jobs = [job(priority=3, deadline=at(clock, seconds)) for seconds in (4, 2, 3)]
    await queue.enqueue([*jobs, *[job(priority=0) for _ in range(10)]])
    risky = [lease.id for lease in await take(queue, 6) if lease.priority == 3]
    assert risky == [jobs[1].id, jobs[2].id, jobs[0].id]


# Fairness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 64])
async def test_companies_take_turns_whatever_each_has_queued(queue: Queue, batch: int) -> None:
    await queue.enqueue([job("heap") for _ in range(500)])
    await queue.enqueue([job("pile") for _ in range(200)])
    await queue.enqueue([job("few") for _ in range(10)])
    served: list[str] = []
    while served.count("few") < 10:
        served += [lease.company for lease in await take(queue, batch)]
    assert len(served) <= 3 * 10 + batch


async def test_a_trickle_does_not_overtake_a_heap_for_ever(queue: Queue) -> None:
    await queue.enqueue([job("heap") for _ in range(50)])
    served = []
    for _ in range(40):
        await queue.enqueue([job("a-trickle")])
        served += [lease.company for lease in await take(queue, 1)]
    assert served.count("heap") >= 19


async def test_a_company_that_comes_back_after_its_round_misses_none(queue: Queue) -> None:
    companies = [f"company-{each}" for each in range(10)]
    for company in companies:
        await queue.enqueue([job(company)])
    served, before = Counter[str](), list[Lease]()
    for _ in range(100):
        handed = await take(queue, 2)
        served.update(lease.company for lease in handed)
        # Each is at work while two calls more take others, and has its next job only then.
        for lease in before:
            await queue.enqueue([job(lease.company)])
        before = handed
    assert max(served.values()) - min(served.values()) <= 2


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_waits_longer_than_twice_its_share(queue: Queue, clock: Clock, seed: int) -> None:
    random = Random(seed)
    companies = [f"company-{each}" for each in range(8)]
    last = dict.fromkeys(companies, 0)
    for company in companies:
        await queue.enqueue([job(company) for _ in range(random.randrange(60, 200))])
    for turn in range(400):
        clock.pass_by(0.01)
        [lease] = await take(queue, 1)
        if turn % 3 == 0:
            await queue.enqueue([job(random.choice(companies)) for _ in range(random.randrange(1, 9))])
        assert turn - last[lease.company] <= 2 * len(companies)
        last[lease.company] = turn


# Time -------------------------------------------------------------------------------------------------------


async def test_a_delayed_job_waits_for_its_time(queue: Queue, clock: Clock) -> None:
    late = job(not_before=at(clock, 10))
    await queue.enqueue([late])
    nothing = await queue.reserve(10)
    assert (nothing.leases, nothing.next_seconds) == ([], pytest.approx(10))
    assert ((await queue.stats()).delayed, (await queue.stats()).depth) == (1, 0)
    clock.pass_by(11)
    [lease] = await take(queue)
    assert lease.id == late.id
    assert lease.waited == pytest.approx(1)


async def test_an_expired_job_is_reported_and_not_run(queue: Queue, clock: Clock) -> None:
    doomed, fine = job(deadline=at(clock, 10)), job()
    await queue.enqueue([doomed, fine])
    clock.pass_by(10)
    fates = {lease.id: lease for lease in await take(queue)}
    assert (fates[doomed.id].fate, fates[doomed.id].attempt) == (Fate.EXPIRED, 0)
    assert fates[fine.id].fate is Fate.RUN
    assert (await queue.stats()).totals["expired"] == 1
    await queue.settle([fates[doomed.id].done()])
    assert await take(queue) == []


async def test_a_report_that_was_lost_is_made_again(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(deadline=at(clock, 10))])
    clock.pass_by(10)
    [first] = await take(queue)
    clock.pass_by(31)
    [again] = await take(queue)
    assert (first.fate, again.fate) == (Fate.EXPIRED, Fate.EXPIRED)
    assert again.epoch > first.epoch


async def test_a_job_that_is_done_in_time_does_not_expire(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(deadline=at(clock, 10))])
    [lease] = await take(queue)
    clock.pass_by(20)
    assert await queue.settle([lease.done()]) == [Verdict.DONE]


# Leases -----------------------------------------------------------------------------------------------------


async def test_a_silent_workers_jobs_are_handed_out_again(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job()])
    [lost] = await take(queue)
    clock.pass_by(29)
    assert await take(queue) == []
    clock.pass_by(1)
    [again] = await take(queue)
    assert (again.id, again.attempt) == (lost.id, 2)
    assert again.epoch > lost.epoch


async def test_what_is_settled_under_an_old_epoch_changes_nothing(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job()])
    [old] = await take(queue)
    clock.pass_by(30)
    [new] = await take(queue)
    for outcome in (old.done(), old.retry(0, "late"), old.dead("late")):
        assert await queue.settle([outcome]) == [Verdict.STALE]
    assert await queue.settle([new.done(), new.done()]) == [Verdict.DONE, Verdict.STALE]
    assert (await queue.stats()).totals["done"] == 1


async def test_between_two_hand_outs_nobody_holds_it(queue: Queue) -> None:
    await queue.enqueue([job()])
    [lease] = await take(queue)
    await queue.settle([lease.retry(5, "busy")])
    assert await queue.settle([lease.done()]) == [Verdict.STALE]
    assert await queue.extend([lease]) == []


async def test_a_heartbeat_holds_jobs(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(), job()])
    held, lost = await take(queue)
    for _ in range(3):
        clock.pass_by(20)
        assert await queue.extend([held]) == [held]
    [again] = await take(queue)
    assert again.id == lost.id
    assert await queue.extend([held, lost]) == [held]
    assert await queue.settle([held.done()]) == [Verdict.DONE]


async def test_a_job_that_kills_its_workers_is_given_up_with_a_report(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job()])
    fates = []
    for _ in range(4):
        [lease] = await take(queue)
        fates.append((lease.fate, lease.attempt, lease.last))
        clock.pass_by(30)
    assert fates == [
        (Fate.RUN, 1, False),
        (Fate.RUN, 2, False),
        (Fate.RUN, 3, True),
        (Fate.EXHAUSTED, 3, True),
    ]
    [lease] = await take(queue)
    assert await queue.settle([lease.dead("its workers died")]) == [Verdict.DEAD]


# Failures ---------------------------------------------------------------------------------------------------


async def test_a_retry_comes_after_its_pause_and_ends_with_the_budget(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(payload=b"why")])
    verdicts = []
    for _ in range(3):
        [lease] = await take(queue)
        verdicts += await queue.settle([lease.retry(10, "provider busy")])
        clock.pass_by(9.9)
        assert await take(queue) == []
        clock.pass_by(0.1)
    assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.DEAD]
    [letter] = await queue.dead(10)
    assert (letter.company, letter.payload, letter.attempts, letter.reason) == (
        "acme",
        b"why",
        3,
        "provider busy",
    )
    totals = (await queue.stats()).totals
    assert (totals["retried"], totals["dead"]) == (2, 1)


async def test_a_hopeless_job_is_dead_at_once(queue: Queue) -> None:
    jobs = [job() for _ in range(3)]
    await queue.enqueue(jobs)
    for lease in await take(queue):
        await queue.settle([lease.dead(f"no such number: é {lease.id}")])
    assert [letter.id for letter in await queue.dead(2)] == [jobs[2].id, jobs[1].id]
    assert (await queue.dead(1))[0].reason == f"no such number: é {jobs[2].id}"
    assert (await queue.stats()).dead == 3


async def test_a_pause_beyond_the_deadline_ends_there(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(deadline=at(clock, 10))])
    [lease] = await take(queue)
    await queue.settle([lease.retry(1000, "busy")])
    clock.pass_by(10)
    [lease] = await take(queue)
    assert lease.fate is Fate.EXPIRED


def test_pauses_double_with_jitter_up_to_a_bound() -> None:
    rules = QueueRules(first_pause=1, longest_pause=60)
    for attempt, longest in ((1, 1), (2, 2), (5, 16), (7, 60), (500, 60)):
        pauses = [rules.pause(attempt, Random(seed)) for seed in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


# Backpressure -----------------------------------------------------------------------------------------------


async def learn(queue: Queue, clock: Clock, per_second: int = 10) -> None:
    """Let the queue measure its workers."""
    await queue.enqueue([job("teacher") for _ in range(5 * per_second)])
    await drained(queue, clock, per_second=per_second)
    if hasattr(queue, "rate"):
        queue.rate = float(per_second)


async def test_a_job_that_could_not_start_in_time_is_refused(queue: Queue, clock: Clock) -> None:
    await learn(queue, clock)
    await queue.enqueue([job() for _ in range(100)])
    with pytest.raises(BusyError) as told:
        await queue.enqueue([job(), job(deadline=at(clock, 6))])
    assert told.value.status == 429
    assert told.value.wait == pytest.approx(10, rel=0.2)
    assert told.value.retry_after == pytest.approx(4, abs=2)
    assert (await queue.stats()).depth == 100


async def test_a_job_that_can_start_in_time_is_taken(queue: Queue, clock: Clock) -> None:
    await learn(queue, clock)
    await queue.enqueue([job() for _ in range(100)])
    urgent = job(priority=0, deadline=at(clock, 1))
    later = job(deadline=at(clock, 20))
    fair = job("small", deadline=at(clock, 3))
    assert await queue.enqueue([urgent, later, fair]) == Added(3, 0)


async def test_a_batch_counts_its_own_jobs(queue: Queue, clock: Clock) -> None:
    await learn(queue, clock)
    with pytest.raises(BusyError):
        await queue.enqueue([job(deadline=at(clock, 5)) for _ in range(100)])
    assert await queue.enqueue([job(deadline=at(clock, 5)) for _ in range(30)]) == Added(30, 0)


async def test_a_batch_counts_those_of_its_jobs_that_nothing_hurries_too(queue: Queue, clock: Clock) -> None:
    await learn(queue, clock)
    hurried = job(deadline=at(clock, 5))
    with pytest.raises(BusyError):
        await queue.enqueue([*(job() for _ in range(60)), hurried])
    later = [job(not_before=at(clock, 100)) for _ in range(60)]
    assert await queue.enqueue([*later, hurried]) == Added(61, 0), "what begins later does not go before"


async def test_before_anything_was_measured_everything_is_taken(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job() for _ in range(1000)])
    assert await queue.enqueue([job(deadline=at(clock, 1))]) == Added(1, 0)


async def test_a_job_whose_deadline_has_passed_is_refused(queue: Queue, clock: Clock) -> None:
    with pytest.raises(BusyError):
        await queue.enqueue([job(deadline=at(clock, -1))])


async def test_a_full_queue_takes_nothing_but_what_is_owed(queue: Queue) -> None:
    await queue.enqueue([job() for _ in range(1000)])
    await queue.enqueue([job() for _ in range(1000)])
    with pytest.raises(BusyError, match="full"):
        await queue.enqueue([job()])
    assert await queue.enqueue([job()], owed=True) == Added(1, 0)


# Operators --------------------------------------------------------------------------------------------------


async def test_a_paused_queue_hands_out_nothing_to_run(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job(), job(deadline=at(clock, 5))])
    assert await queue.control(paused=True) == Controls(paused=True)
    assert await take(queue) == []
    clock.pass_by(6)
    assert [lease.fate for lease in await take(queue)] == [Fate.EXPIRED]
    assert await queue.enqueue([job()]) == Added(1, 0)
    await queue.control(paused=False)
    assert len(await take(queue)) == 2


async def test_a_draining_queue_takes_nothing_new_and_empties(queue: Queue) -> None:
    await queue.enqueue([job()])
    assert (await queue.control(draining=True)).draining
    with pytest.raises(TemporaryError, match="drained"):
        await queue.enqueue([job()])
    [lease] = await take(queue)
    assert await queue.settle([lease.retry(0, "again")]) == [Verdict.RETRY]
    assert await queue.enqueue([job()], owed=True) == Added(1, 0)
    assert (await queue.control(draining=False)) == Controls()


async def test_no_more_than_the_limit_are_handed_out_per_second(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job() for _ in range(200)])
    await queue.control(limit=10)
    handed = []
    for _ in range(50):
        handed.append(len(await take(queue, 100)))
        clock.pass_by(0.1)
    assert handed[0] == 10
    assert 10 + 45 <= sum(handed) <= 10 + 50
    assert (await queue.control(limit=0)).limit == 0
    assert len(await take(queue, 100)) == 100


async def test_figures_tell_what_is_there(queue: Queue, clock: Clock) -> None:
    await queue.enqueue([job("a", priority=0), job("b", priority=3), job("b", priority=3)])
    await queue.enqueue([job("c", not_before=at(clock, 50)), job("a", priority=1, deadline=at(clock, 20))])
    clock.pass_by(16)
    await take(queue, 1)
    stats = await queue.stats()
    assert (stats.waiting, stats.depth, stats.delayed, stats.leased) == ((0, 1, 0, 2), 3, 1, 1)
    assert (stats.lanes, stats.at_risk, stats.dead) == (2, 1, 0)
    assert stats.oldest_seconds == pytest.approx(16)


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_or_done_twice_whatever_happens(
    make: Callable[..., Queue], clock: Clock, seed: int
) -> None:
    """Random work with random outcomes and dead workers: every job ends once, in one of the ways there are."""
    queue = make(dataclasses.replace(RULES, attempts=50))
    random = Random(seed)
    owed: set[UUID] = set()
    ended: list[UUID] = []
    for _ in range(60):
        batch = [
            job(
                random.choice("abc"),
                priority=random.randrange(4),
                not_before=at(clock, random.randrange(1, 9)) if random.random() < 0.2 else None,
                deadline=at(clock, random.randrange(10, 60)) if random.random() < 0.3 else None,
            )
            for _ in range(random.randrange(10))
        ]
        owed |= {each.id for each in batch}
        await queue.enqueue(batch, owed=True)
        for lease in await take(queue, random.randrange(1, 12)):
            if random.random() < 0.2:
                continue  # its worker dies
            outcome = lease.retry(random.randrange(5), "again") if random.random() < 0.3 else lease.done()
            if await queue.settle([outcome]) == [Verdict.DONE]:
                ended.append(lease.id)
        clock.pass_by(random.random() * 10)
    for _ in range(20):
        clock.pass_by(31)
        leases = await take(queue)
        ended += [lease.id for lease in leases]
        await queue.settle([lease.done() for lease in leases])
    assert sorted(ended) == sorted(owed)
    stats = await queue.stats()
    assert (stats.depth, stats.delayed, stats.leased, stats.lanes, stats.at_risk) == (0, 0, 0, 0, 0)
