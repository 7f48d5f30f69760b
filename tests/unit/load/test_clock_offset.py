"""Clock offset by round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clock_offset import (
    MAX_UNCERTAINTY_SECONDS,
    ClockOffset,
    RoundTrip,
    estimate_offset,
    offset_of_replicas,
    offset_over_run,
)

delays = st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=8)


def round_trip(offset: float, outward: float, homeward: float) -> RoundTrip:
    """Return a round trip of two delays to a machine with a clock offset."""
    return RoundTrip(sent=100.0, remote=100.0 + outward + offset, received=100.0 + outward + homeward)


@given(st.floats(-1e5, 1e5), delays)
def test_error_is_at_most_the_uncertainty(offset: float, trips: list[tuple[float, float]]) -> None:
    estimate = estimate_offset([round_trip(offset, outward, homeward) for outward, homeward in trips])
    assert estimate is not None
    assert abs(estimate.seconds - offset) <= estimate.uncertainty_seconds + 1e-9
    assert estimate.uncertainty_seconds == pytest.approx(min(map(sum, trips)) / 2, abs=1e-9)


def test_offset_without_round_trips_is_unknown() -> None:
    assert estimate_offset([]) is None
    assert offset_over_run(None, ClockOffset(seconds=0, uncertainty_seconds=0)) is None


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=3), delays)
def test_offset_of_replicas_holds_for_those_that_answer_fast(
    offsets: list[float], trips: list[tuple[float, float]]
) -> None:
    answers = [(offsets[number % len(offsets)], *trip) for number, trip in enumerate(sorted(trips, key=sum))]
    estimate = offset_of_replicas([round_trip(*answer) for answer in answers])
    assert estimate is not None
    for offset, *_ in answers[: (len(answers) + 1) // 2]:
        assert abs(estimate.seconds - offset) <= estimate.uncertainty_seconds + 1e-9


def test_slow_replica_with_another_clock_widens_the_uncertainty() -> None:
    fast, slow = [round_trip(0.0, 0.001, 0.001)] * 20, [round_trip(5.0, 0.02, 0.02)] * 10
    estimate = offset_of_replicas(fast + slow)
    assert estimate is not None
    assert not estimate.is_usable
    same_clock = offset_of_replicas(fast + [round_trip(0.0, 0.02, 0.02)] * 10)
    assert same_clock is not None
    assert same_clock.uncertainty_seconds == pytest.approx(0.001, abs=1e-6)


def test_drift_adds_to_the_uncertainty() -> None:
    first = ClockOffset(seconds=10.0, uncertainty_seconds=0.001)
    assert first.is_usable
    drifted = ClockOffset(seconds=10.0 + 3 * MAX_UNCERTAINTY_SECONDS, uncertainty_seconds=0.002)
    over_run = offset_over_run(first, drifted)
    assert over_run is not None
    assert over_run.uncertainty_seconds == pytest.approx(0.002 + 1.5 * MAX_UNCERTAINTY_SECONDS)
    assert not over_run.is_usable
