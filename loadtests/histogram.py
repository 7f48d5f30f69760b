"""Latency histograms: from one microsecond to 27 hours, the longest run, with three significant digits."""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

MIN_US, MAX_US, SIGNIFICANT_DIGITS = 1, 100_000_000_000, 3


def new_histogram() -> HdrHistogram:
    """Return an empty histogram of microseconds."""
    return HdrHistogram(MIN_US, MAX_US, SIGNIFICANT_DIGITS)


def record_seconds(histogram: HdrHistogram, seconds: float, count: int = 1) -> None:
    """Record a latency; a value out of range is clamped.

    Args:
        histogram: histogram of microseconds.
        seconds: the latency.
        count: how many requests had it; may be 0.
    """
    if count:  # else the maximum would be recorded
        histogram.record_value(min(MAX_US, max(MIN_US, round(seconds * 1e6))), count)
