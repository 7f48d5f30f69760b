"""Histograms of waits: from a microsecond to ten minutes, to a thousandth of each value."""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

LEAST_US, MOST_US, DIGITS = 1, 600_000_000, 3


def histogram() -> HdrHistogram:
    """Return an empty one; its unit is the microsecond."""
    return HdrHistogram(LEAST_US, MOST_US, DIGITS)


def record(into: HdrHistogram, seconds: float) -> None:
    """Count a wait; one out of range counts as the nearest that is in it."""
    into.record_value(min(MOST_US, max(LEAST_US, round(seconds * 1e6))))
