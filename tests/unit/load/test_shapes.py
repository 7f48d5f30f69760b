"""When arrivals are due."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.shapes import BEFORE_SPIKE, HOURS, Shape, arrivals, share


def test_steady_arrivals_are_evenly_spaced() -> None:
    due = list(arrivals(Shape.STEADY, 10, 5))
    assert len(due) == 50
    assert {round(after - before, 6) for before, after in pairwise(due)} == {0.1}


def test_a_ramp_is_twice_as_dense_in_its_second_half() -> None:
    due = list(arrivals(Shape.RAMP, 100, 60))
    first = sum(each < 30 for each in due)
    assert (len(due) - first) / first == pytest.approx(3, rel=0.1)  # areas under a line from nought


def test_a_spike_is_the_middle_tenth() -> None:
    due = list(arrivals(Shape.SPIKE, 100, 100))
    inside = sum(45 <= each < 55 for each in due)
    assert inside == pytest.approx(1000, rel=0.01)
    assert len(due) - inside == pytest.approx(90 * 100 * BEFORE_SPIKE, rel=0.01)


def test_a_day_follows_its_hours() -> None:
    due = list(arrivals(Shape.DAY, 200, 240))
    assert len(due) == pytest.approx(200 * 10 * sum(HOURS), rel=0.02)


@given(st.sampled_from(Shape), st.floats(0, 1))
def test_no_shape_exceeds_its_rate_or_stops(shape: Shape, place: float) -> None:
    assert 0 < share(shape, place) <= 1


@given(st.sampled_from(Shape), st.floats(0.5, 200), st.floats(1, 20))
def test_arrivals_are_in_order_and_within_the_run(shape: Shape, rate: float, seconds: float) -> None:
    due = list(arrivals(shape, rate, seconds))
    assert due[0] == 0
    assert all(before < after for before, after in pairwise(due))
    assert due[-1] < seconds
