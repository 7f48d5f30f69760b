"""Shapes of load: when arrivals are due. Pure.

Arrivals are as far apart as the rate of the moment says, not drawn at random: two runs are then alike, and a
late start is the generator's fault and never chance.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDING = 1e-6
"""Seconds that sums of many steps may be off by."""
LEAST = 0.1
"""Share of its rate that a shape never falls below."""
SPIKE = (0.45, 0.55)
"""Part of the run that is the spike."""
BEFORE_SPIKE = 0.2
HOURS = (
    *(0.10, 0.10, 0.10, 0.10, 0.10, 0.12, 0.20, 0.40, 0.70, 0.95, 1.00, 0.95),
    *(0.75, 0.80, 0.95, 1.00, 0.95, 0.85, 0.65, 0.45, 0.35, 0.25, 0.15, 0.12),
)
"""A working day, hour by hour: campaigns go out in the morning and after lunch."""


class Shape(StrEnum):
    """How the rate changes over a run; each reaches the rate that is asked for, none exceeds it."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    DAY = "day"


def share(shape: Shape, place: float) -> float:
    """Return the part of its rate that a shape has at `place`, from 0 (begin) to 1 (end)."""
    return _SHARES[shape](place)


def arrivals(shape: Shape, rate: float, seconds: float) -> Iterator[float]:
    """Yield when arrivals are due, in seconds from the beginning.

    Args:
        shape: of the load.
        rate: arrivals per second at its highest.
        seconds: of the run; nothing is due at its end or later.
    """
    due = 0.0
    while due < seconds - _ROUNDING:
        yield due
        due += 1.0 / (rate * share(shape, due / seconds))


def _spike(place: float) -> float:
    return 1.0 if SPIKE[0] <= place < SPIKE[1] else BEFORE_SPIKE


def _day(place: float) -> float:
    hour = place * len(HOURS)
    before, part = math.floor(hour), hour % 1.0
    first, second = HOURS[before % len(HOURS)], HOURS[(before + 1) % len(HOURS)]
    return first + (second - first) * part


_SHARES: dict[Shape, Callable[[float], float]] = {
    Shape.STEADY: lambda _: 1.0,
    Shape.RAMP: lambda place: max(LEAST, place),
    Shape.SPIKE: _spike,
    Shape.DAY: _day,
}
