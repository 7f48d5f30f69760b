"""Arrival times of the load profile shapes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.shapes import HOURLY_PROFILE, SPIKE_BASE_FRACTION, Shape, even_arrival_times, rate_fraction


def test_steady_arrivals_are_evenly_spaced() -> None:
    due = list(even_arrival_times(Shape.STEADY, 10, 5))
    assert len(due) == 50
    assert {round(after - before, 6) for before, after in pairwise(due)} == {0.1}


def test_ramp_has_three_times_the_arrivals_in_its_second_half() -> None:
    due = list(even_arrival_times(Shape.RAMP, 100, 60))
    first = sum(time < 30 for time in due)
    assert (len(due) - first) / first == pytest.approx(3, rel=0.1)  # areas under a line from zero


def test_spike_is_in_the_middle_tenth() -> None:
    due = list(even_arrival_times(Shape.SPIKE, 100, 100))
    spike_count = sum(45 <= time < 55 for time in due)
    assert spike_count == pytest.approx(1000, rel=0.01)
    assert len(due) - spike_count == pytest.approx(90 * 100 * SPIKE_BASE_FRACTION, rel=0.01)


def test_day_follows_hourly_profile() -> None:
    due = list(even_arrival_times(Shape.DAY, 200, 240))
    assert len(due) == pytest.approx(200 * 10 * sum(HOURLY_PROFILE), rel=0.02)


@given(st.sampled_from(Shape), st.floats(0, 1))
def test_rate_fraction_is_above_zero_and_at_most_one(shape: Shape, position: float) -> None:
    assert 0 < rate_fraction(shape, position) <= 1


@given(st.sampled_from(Shape), st.floats(0.5, 200), st.floats(1, 20))
def test_arrivals_are_in_order_and_within_the_run(shape: Shape, rate: float, seconds: float) -> None:
    due = list(even_arrival_times(shape, rate, seconds))
    assert due[0] == 0
    assert all(before < after for before, after in pairwise(due))
    assert due[-1] < seconds
