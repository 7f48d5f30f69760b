"""CPU usage over time from counters that are read at any times."""

from __future__ import annotations

import pytest

from loadtests.cpu_series import cores_over_time, sum_over_time


def test_readings_are_spread_over_the_intervals_between_them() -> None:
    readings = [(100.0, 50.0), (104.0, 52.0), (106.0, 56.0)]
    assert cores_over_time(readings, 100.0, 2.0, 3) == (0.5, 0.5, 2.0)
    assert cores_over_time(readings, 103.0, 2.0, 1) == pytest.approx([1.25])


def test_interval_without_readings_has_no_value() -> None:
    readings = [(100.0, 50.0), (101.0, 51.0)]
    assert cores_over_time(readings, 99.0, 1.0, 4) == (None, 1.0, None, None)
    assert cores_over_time([], 0.0, 1.0, 1) == (None,)


def test_sum_over_time_is_absent_only_where_all_parts_are() -> None:
    assert sum_over_time([(1.0, None, None), (0.5, 0.5, None)]) == (1.5, 0.5, None)
