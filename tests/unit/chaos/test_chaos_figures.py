"""What clients saw: gaps, latencies, and what was acknowledged against what is there."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.timeline import Event, Timeline, redundancy_back
from chaos.traffic.figures import compare, figures, longest_gap
from chaos.traffic.timetable import Lane, Log


def log(acked: list[tuple[int, float, float]], **more: Any) -> dict[str, Any]:
    return {"begun": 100.0, "acked": acked, "failed": 0, "errors": {}, "dropped": 0, "late": 0, **more}


def steady(*ranges: tuple[int, int]) -> list[tuple[int, float, float]]:
    """Ten acknowledged attempts a second, 10 ms each, for the given numbers only."""
    numbers = [number for first, last in ranges for number in range(first, last)]
    return [(number, 100 + number / 10, 100.01 + number / 10) for number in numbers]


def test_a_gap_is_the_longest_time_without_an_acknowledgement() -> None:
    found = figures(log(steady((0, 50), (150, 200))), ended=120.0)
    assert found.gap == pytest.approx(10.1, abs=0.01)
    assert found.gap_from == pytest.approx(104.91, abs=0.01)


def test_what_never_came_back_is_a_gap_to_the_end() -> None:
    assert figures(log(steady((0, 50))), ended=130.0).gap == pytest.approx(25.09, abs=0.01)
    assert figures(log([]), ended=130.0).gap == 30.0


@given(st.lists(st.floats(0, 100), max_size=30), st.floats(100, 200))
def test_no_time_between_two_acknowledgements_is_longer_than_the_gap(
    instants: list[float], ended: float
) -> None:
    edges = [0.0, *sorted(instants), ended]
    gap, since = longest_gap(0.0, sorted(instants), ended)
    assert gap == max(b - a for a, b in pairwise(edges))
    assert since in edges


def test_latency_counts_from_the_planned_instant() -> None:
    stalled = [(number, 100 + number / 10, 105.0) for number in range(50)]
    found = figures(log(stalled), ended=110.0)
    assert found.worst == 5.0
    assert found.median == pytest.approx(2.5, abs=0.2)  # a closed loop would have seen one slow request


def test_lost_and_duplicated_writes_are_counted() -> None:
    acked = steady((0, 5))
    assert compare(acked, [0, 1, 2, 3, 4]) == (0, 0, 0)
    assert compare(acked, [0, 1, 3, 4]) == (1, 0, 0)
    assert compare(acked, [0, 1, 1, 2, 3, 4, 4]) == (0, 2, 0)
    assert compare(acked, [0, 1, 2, 3, 4, 99]) == (0, 0, 0)  # not acknowledged, and there: nobody was lied to


def test_order_is_broken_only_by_writes_that_followed_each_other() -> None:
    assert compare(steady((0, 5)), [0, 2, 1, 3, 4]) == (0, 0, 1)
    together = [(0, 100.0, 101.0), (1, 100.1, 101.0)]
    assert compare(together, [1, 0]) == (0, 0, 0)


def test_a_generator_that_lagged_says_so() -> None:
    assert not figures(log(steady((0, 100)), late=1), ended=111).generator_lagged
    assert figures(log(steady((0, 100)), late=2), ended=111).generator_lagged


async def test_the_loop_stays_open_while_the_server_stalls() -> None:
    answer = asyncio.Event()
    began: list[int] = []

    async def attempt(sequence: int) -> None:
        began.append(sequence)
        await answer.wait()

    lane, stop = Lane(Log("test"), attempt, period=0.01, most=5), asyncio.Event()
    driving = asyncio.create_task(lane.drive(asyncio.get_running_loop().time(), stop))
    while lane.log.dropped < 3:
        await asyncio.sleep(0.005)
    assert began == [0, 1, 2, 3, 4]
    answer.set()
    stop.set()
    await driving
    assert [number for number, _, _ in lane.log.acked][:5] == [0, 1, 2, 3, 4]


async def test_an_attempt_that_hangs_or_fails_is_not_acknowledged() -> None:
    async def attempt(sequence: int) -> None:
        if sequence % 2:
            raise ConnectionError("gone")
        await asyncio.sleep(10)

    lane, stop = Lane(Log("test"), attempt, period=0.01, deadline=0.02), asyncio.Event()
    driving = asyncio.create_task(lane.drive(asyncio.get_running_loop().time(), stop))
    while lane.log.failed < 4:
        await asyncio.sleep(0.005)
    stop.set()
    await driving
    assert lane.log.acked == []
    assert {text.split(":")[0] for text in lane.log.errors} == {"ConnectionError", "TimeoutError"}


def test_a_timeline_keeps_changes_only() -> None:
    timeline = Timeline(dict)
    timeline.take({"node zone-a": "ready"}, 1.0)
    timeline.take({"node zone-a": "ready"}, 2.0)
    timeline.take({"node zone-a": "lost"}, 3.0)
    assert timeline.events == [Event(at=3.0, what="node zone-a", before="ready", after="lost")]


def service(at: float, before: str, after: str, name: str = "contacts-api") -> Event:
    return Event(at=at, what=f"service {name}", before=before, after=after)


def test_redundancy_is_back_when_the_last_service_is_whole() -> None:
    events = [
        service(5.0, "2/2", "1/2"),
        service(6.0, "2/2", "0/2", "campaigns-api"),
        service(9.0, "1/2", "2/2"),
        service(14.0, "0/2", "2/2", "campaigns-api"),
    ]
    assert redundancy_back(events, since=4.0) == 10.0
    assert redundancy_back([], since=4.0) == 0.0
    assert redundancy_back(events[:-1], since=4.0) == float("inf")
