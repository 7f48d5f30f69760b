"""Shapes of load profiles: the times at which arrivals are due. No I/O.

Independent users arrive as a Poisson process: at the same mean rate it has bursts, and bursts fill queues.
Evenly spaced arrivals are the easiest load; they are for scenarios whose number of arrivals is fixed.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

_ROUNDING_SECONDS = 1e-6
"""Rounding error of a sum of many intervals."""
MIN_RATE_FRACTION = 0.1
"""Minimum rate of a ramp as a fraction of the maximum rate."""
SPIKE_WINDOW = (0.45, 0.55)
"""Start and end of the spike as fractions of the run."""
SPIKE_BASE_FRACTION = 0.2
"""Rate outside of the spike as a fraction of the maximum rate."""
HOURLY_PROFILE = (
    *(0.10, 0.10, 0.10, 0.10, 0.10, 0.12, 0.20, 0.40, 0.70, 0.95, 1.00, 0.95),
    *(0.75, 0.80, 0.95, 1.00, 0.95, 0.85, 0.65, 0.45, 0.35, 0.25, 0.15, 0.12),
)
"""Rate of a working day by hour, fractions of the maximum: most campaigns start mornings and after lunch."""


class Shape(StrEnum):
    """How the rate changes over a run. Every shape reaches the requested rate and never exceeds it."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    DAY = "day"


class Spacing(StrEnum):
    """How arrivals are spaced at the rate of the shape."""

    POISSON = "poisson"
    EVEN = "even"


def rate_fraction(shape: Shape, position: float) -> float:
    """Return the rate of a shape as a fraction of the maximum rate.

    Args:
        shape: shape of the load profile.
        position: position in the run, 0 (start) to 1 (end).
    """
    return _FRACTIONS[shape](position)


def even_arrival_times(shape: Shape, rate: float, duration_seconds: float) -> Iterator[float]:
    """Yield the times of evenly spaced arrivals, in seconds from the start.

    Args:
        shape: shape of the load profile.
        rate: maximum arrivals per second.
        duration_seconds: length of the run; nothing is due at its end or later.
    """
    due = 0.0
    while due < duration_seconds - _ROUNDING_SECONDS:
        yield due
        due += 1.0 / (rate * rate_fraction(shape, due / duration_seconds))


def poisson_arrival_times(
    shape: Shape, rate: float, duration_seconds: float, random: Random
) -> Iterator[float]:
    """Yield the times of a Poisson process, in seconds from the start.

    Thinning: arrivals at the maximum rate, of which each is used with the probability of the shape at its
    time (Lewis and Shedler, Simulation of nonhomogeneous Poisson processes by thinning, 1979).

    Args:
        shape: shape of the load profile.
        rate: maximum arrivals per second.
        duration_seconds: length of the run; nothing is due at its end or later.
        random: source of randomness.
    """
    due = random.expovariate(rate)
    while due < duration_seconds:
        if random.random() < rate_fraction(shape, due / duration_seconds):
            yield due
        due += random.expovariate(rate)


def _spike(position: float) -> float:
    return 1.0 if SPIKE_WINDOW[0] <= position < SPIKE_WINDOW[1] else SPIKE_BASE_FRACTION


def _day(position: float) -> float:
    hour = position * len(HOURLY_PROFILE)
    index, fraction = math.floor(hour), hour % 1.0
    first = HOURLY_PROFILE[index % len(HOURLY_PROFILE)]
    second = HOURLY_PROFILE[(index + 1) % len(HOURLY_PROFILE)]
    return first + (second - first) * fraction


_FRACTIONS: dict[Shape, Callable[[float], float]] = {
    Shape.STEADY: lambda _: 1.0,
    Shape.RAMP: lambda position: max(MIN_RATE_FRACTION, position),
    Shape.SPIKE: _spike,
    Shape.DAY: _day,
}
