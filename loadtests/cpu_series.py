"""CPU usage over time, from readings of counters at any times. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Reading = tuple[float, float]
"""Time of a reading, and the core seconds used until then."""


def cores_over_time(
    readings: Sequence[Reading], start: float, interval_seconds: float, count: int
) -> tuple[float | None, ...]:
    """Return the cores used in each interval; None where no two readings surround a part of it.

    Args:
        readings: in order of their times.
        start: start of the first interval, on the clock of the readings.
        interval_seconds: length of an interval.
        count: number of intervals.
    """
    cores: list[float | None] = []
    for index in range(count):
        begin, end = start + index * interval_seconds, start + (index + 1) * interval_seconds
        covered = used = 0.0
        for (before, used_before), (after, used_after) in pairwise(readings):
            seconds = min(end, after) - max(begin, before)
            if seconds > 0:
                covered += seconds
                used += (used_after - used_before) * seconds / (after - before)
        cores.append(round(used / covered, 3) if covered else None)
    return tuple(cores)


def sum_over_time(parts: Iterable[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Return the sum of several series of equal length; None where all of them are."""
    return tuple(
        round(sum(value for value in column if value is not None), 3)
        if any(value is not None for value in column)
        else None
        for column in zip(*parts, strict=True)
    )
