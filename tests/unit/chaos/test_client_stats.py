"""Client statistics, the open loop that produces them, and the timeline of the cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.timeline import Event, Timeline, time_to_full_redundancy
from chaos.traffic.client_stats import compare, compute_stats, longest_gap
from chaos.traffic.open_loop import Stream, StreamLog
from infra.measurements.run_values import NOT_MEASURED, RunValue


def log(acked: list[tuple[int, float, float]], **fields: Any) -> dict[str, Any]:
    return {
        "started_at": 100.0,
        "acked": acked,
        "failed": 0,
        "errors": {},
        "dropped": 0,
        "late": 0,
        "period": 0.1,
        "corrupt": 0,
        "stale": 0,
        **fields,
    }


def steady(*ranges: tuple[int, int]) -> list[tuple[int, float, float]]:
    """Ten acknowledged attempts per second, 10 ms each, only for these numbers."""
    numbers = [number for first, last in ranges for number in range(first, last)]
    return [(number, 100 + number / 10, 100.01 + number / 10) for number in numbers]


def test_max_unavailability_is_the_longest_time_without_acknowledgement() -> None:
    stats = compute_stats(log(steady((0, 50), (150, 200))), ended_at=120.0)
    assert stats.max_unavailability_seconds == pytest.approx(10.1, abs=0.01)
    assert stats.unavailable_from == pytest.approx(104.91, abs=0.01)


def test_outage_without_recovery_lasts_until_the_end() -> None:
    stats = compute_stats(log(steady((0, 50))), ended_at=130.0)
    assert stats.max_unavailability_seconds == pytest.approx(25.09, abs=0.01)
    assert compute_stats(log([]), ended_at=130.0).max_unavailability_seconds == 30.0


def test_outage_at_the_end_of_the_traffic_has_no_known_length() -> None:
    assert compute_stats(log(steady((0, 50))), ended_at=130.0).unavailable_until_end
    assert not compute_stats(log(steady((0, 50), (150, 200))), ended_at=120.0).unavailable_until_end
    assert not compute_stats(log(steady((0, 199))), ended_at=120.0).unavailable_until_end


def test_three_outages_of_8_seconds_are_24_unavailable_seconds() -> None:
    stats = compute_stats(
        log(steady((0, 100), (180, 300), (380, 500), (580, 700)), failed=240), ended_at=170.0
    )
    assert stats.max_unavailability_seconds == pytest.approx(8.1, abs=0.01)
    assert stats.unavailable_seconds == 24
    assert stats.error_ratio == round(240 / 700, 4)


def test_minute_in_which_most_requests_fail_is_unavailable() -> None:
    """Four of five requests fail for 60 s: the longest gap is below a second."""
    acked = [ack for ack in steady((0, 1000)) if not 200 <= ack[0] < 800 or ack[0] % 5 == 0]
    stats = compute_stats(log(acked, failed=480), ended_at=200.0)
    assert stats.max_unavailability_seconds == pytest.approx(0.5, abs=0.01)
    assert stats.unavailable_seconds == 60
    assert stats.error_ratio == 0.48


def test_write_that_is_repeated_until_the_outage_ends_does_not_hide_it() -> None:
    late = [(number, 100 + number / 10, 120.0) for number in range(100, 200)]
    stats = compute_stats(log([*steady((0, 100)), *late, *steady((200, 300))]), ended_at=130.0)
    assert stats.unavailable_seconds == 9  # what was due in the last second was acknowledged in time
    assert stats.error_ratio == 0.0


def test_bursts_of_acknowledgements_are_no_outage() -> None:
    """Nine of ten acknowledgements of every second second arrive 0.05 s after its end."""
    acked = [
        (number, 100 + number / 10, 100 + number // 10 + 1.05 if is_late else 100.01 + number / 10)
        for number in range(200)
        for is_late in [number // 10 % 2 == 0 and number % 10 > 0]
    ]
    assert compute_stats(log(acked), ended_at=120.0).unavailable_seconds == 0


def test_stream_without_own_attempts_is_unavailable_in_seconds_without_record() -> None:
    stats = compute_stats(log(steady((0, 50), (90, 150)), period=None), ended_at=115.0)
    assert stats.unavailable_seconds == 4
    assert stats.error_ratio is None


def test_stream_without_acknowledgement_has_no_latency_and_no_comparison() -> None:
    stats = compute_stats(log([], failed=10), ended_at=110.0)
    assert (stats.latency_median, stats.latency_p99, stats.latency_max) == (None, None, None)
    assert (stats.lost, stats.duplicated, stats.reordered) == (None, None, None)
    assert stats.error_ratio == 1.0
    assert compute_stats(log([]), ended_at=110.0).error_ratio is None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 90)), min_size=1, max_size=5))
def test_longest_of_several_outages_is_found(phases: list[tuple[int, int]]) -> None:
    """Each phase has so many acknowledged attempts, then so many failed ones."""
    acked_at, number, outages = [], 0, []
    for acknowledged, failed in phases:
        acked_at += [(number + offset) / 10 for offset in range(acknowledged)]
        number += acknowledged
        outages.append(((failed + 1) / 10, (number - 1) / 10))
        number += failed
    gap, since = longest_gap(0.0, acked_at, number / 10)
    longest = max(seconds for seconds, _ in outages)
    assert gap == pytest.approx(longest)
    assert since in [start for seconds, start in outages if seconds == longest]


def test_latency_is_measured_from_the_planned_time() -> None:
    stalled = [(number, 100 + number / 10, 105.0) for number in range(50)]
    stats = compute_stats(log(stalled), ended_at=110.0)
    assert stats.latency_max == 5.0
    # a closed loop would have measured one slow request
    assert stats.latency_median == pytest.approx(2.5, abs=0.2)


def test_lost_and_duplicated_writes_are_counted() -> None:
    acked = steady((0, 5))
    assert compare(acked, [0, 1, 2, 3, 4]) == (0, 0, 0)
    assert compare(acked, [0, 1, 3, 4]) == (1, 0, 0)
    assert compare(acked, [0, 1, 1, 2, 3, 4, 4]) == (0, 2, 0)
    assert compare(acked, [0, 1, 2, 3, 4, 99]) == (0, 0, 0)  # stored without acknowledgement: no error


def test_only_sequential_writes_count_as_reordered() -> None:
    assert compare(steady((0, 5)), [0, 2, 1, 3, 4]) == (0, 0, 1)
    concurrent = [(0, 100.0, 101.0), (1, 100.1, 101.0)]
    assert compare(concurrent, [1, 0]) == (0, 0, 0)


def test_generator_lagged_above_the_late_fraction() -> None:
    assert not compute_stats(log(steady((0, 100)), late=1), ended_at=111).generator_lagged
    assert compute_stats(log(steady((0, 100)), late=2), ended_at=111).generator_lagged


async def test_open_loop_continues_while_the_server_stalls() -> None:
    response = asyncio.Event()
    started: list[int] = []

    async def attempt(sequence: int) -> None:
        started.append(sequence)
        await response.wait()

    stream, stop = Stream(StreamLog("test"), attempt, period=0.01, max_open=5), asyncio.Event()
    task = asyncio.create_task(stream.run(asyncio.get_running_loop().time(), stop))
    while stream.log.dropped < 3:
        await asyncio.sleep(0.005)
    assert started == [0, 1, 2, 3, 4]
    response.set()
    stop.set()
    await task
    assert [number for number, _, _ in stream.log.acked][:5] == [0, 1, 2, 3, 4]


async def test_hanging_or_failed_attempt_is_not_acknowledged() -> None:
    async def attempt(sequence: int) -> None:
        if sequence % 2:
            raise ConnectionError("gone")
        await asyncio.sleep(10)

    stream, stop = Stream(StreamLog("test"), attempt, period=0.01, deadline=0.02), asyncio.Event()
    task = asyncio.create_task(stream.run(asyncio.get_running_loop().time(), stop))
    while stream.log.failed < 4:
        await asyncio.sleep(0.005)
    stop.set()
    await task
    assert stream.log.acked == []
    assert {text.split(":")[0] for text in stream.log.errors} == {"ConnectionError", "TimeoutError"}


def test_timeline_records_only_changes() -> None:
    timeline = Timeline(dict)
    timeline.record({"node zone-a": "ready"}, 1.0)
    timeline.record({"node zone-a": "ready"}, 2.0)
    timeline.record({"node zone-a": "lost"}, 3.0)
    assert timeline.events == [Event(at=3.0, subject="node zone-a", before="ready", after="lost")]


def service_event(at: float, before: str, after: str, name: str = "contacts-api") -> Event:
    return Event(at=at, subject=f"service {name}", before=before, after=after)


def redundancy(events: list[Event], last_reading_at: float | None = 30.0) -> RunValue:
    return time_to_full_redundancy(events, 4.0, last_reading_at, 30.0)


def test_full_redundancy_is_reached_when_the_last_service_recovered() -> None:
    events = [
        service_event(5.0, "2/2", "1/2"),
        service_event(6.0, "2/2", "0/2", "campaigns-api"),
        service_event(9.0, "1/2", "2/2"),
        service_event(14.0, "0/2", "2/2", "campaigns-api"),
    ]
    assert redundancy(events) == RunValue(value=10.0)
    assert redundancy([]) == RunValue(value=0.0)
    assert redundancy(events[:-1]) == RunValue(value=26.0, censored=True)


def test_full_redundancy_is_not_measured_without_readings() -> None:
    assert redundancy([], last_reading_at=None) == NOT_MEASURED
    assert redundancy([], last_reading_at=3.0) == NOT_MEASURED
    assert redundancy([], last_reading_at=10.0) == NOT_MEASURED  # the sampler died 20 s before the end


def test_time_without_control_plane_counts_as_degraded() -> None:
    lost = Event(at=5.0, subject="control plane", before="available", after="unavailable")
    restored = Event(at=12.0, subject="control plane", before="unavailable", after="available")
    assert redundancy([lost, restored]) == RunValue(value=8.0)
    assert redundancy([lost], last_reading_at=29.5) == RunValue(value=26.0, censored=True)


def test_replica_missing_before_the_fault_is_not_forgotten() -> None:
    assert redundancy([service_event(1.0, "2/2", "1/2")]) == RunValue(value=26.0, censored=True)
    assert redundancy([service_event(9.0, "1/2", "2/2")]) == RunValue(value=5.0)


def test_unavailable_control_plane_is_no_reading() -> None:
    timeline = Timeline(dict)
    timeline.record({"control plane": "unavailable"}, 1.0)
    assert timeline.last_reading_at is None
    timeline.record({"control plane": "available"}, 2.0)
    timeline.record({"control plane": "unavailable"}, 3.0)
    assert timeline.last_reading_at == 2.0
