"""Offset between the clocks of two machines, from round trips of messages. No I/O.

As in NTP (RFC 5905, section 8): the other clock is read half-way through a round trip, so the error is at
most half of the round trip; the shortest of several is the best. Monotonic clocks are compared: nothing sets
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_UNCERTAINTY_SECONDS = 0.05
"""Of an offset by which latencies may be corrected; as much as an arrival may start late."""


class RoundTrip(NamedTuple):
    """A request to the other machine and its response.

    Attributes:
        sent: local time of the request, seconds.
        remote: time of the other machine's clock in its response, seconds.
        received: local time of the response, seconds.
    """

    sent: float
    remote: float
    received: float

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.received - self.sent


class ClockOffset(BaseModel):
    """Offset of another clock.

    Attributes:
        seconds: the other clock minus the local one.
        uncertainty_seconds: maximum error.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    uncertainty_seconds: float

    @property
    def is_usable(self) -> bool:
        """Whether latencies may be corrected by it."""
        return self.uncertainty_seconds <= MAX_UNCERTAINTY_SECONDS


SAME_CLOCK = ClockOffset(seconds=0.0, uncertainty_seconds=0.0)


def estimate_offset(round_trips: Iterable[RoundTrip]) -> ClockOffset | None:
    """Return the offset by the shortest round trip; None if there are none."""
    shortest = min(round_trips, key=lambda trip: trip.seconds, default=None)
    if shortest is None:
        return None
    offset = shortest.remote - (shortest.sent + shortest.received) / 2
    return ClockOffset(seconds=offset, uncertainty_seconds=shortest.seconds / 2)


def offset_of_replicas(round_trips: Iterable[RoundTrip]) -> ClockOffset | None:
    """Return an offset that holds for each of several machines, any of which answers; None without answers.

    Every round trip bounds the offset of the machine that answered. Those of the shorter half are joined, and
    extended to what the others prove: a slow machine may have another clock.
    """
    shortest_first = sorted(round_trips, key=lambda trip: trip.seconds)
    shorter = shortest_first[: (len(shortest_first) + 1) // 2]
    if not shorter:
        return None
    lowest, highest = [], []
    for trip in shortest_first:
        low, high = trip.remote - trip.received, trip.remote - trip.sent
        lowest.append(low if trip in shorter else high)
        highest.append(high if trip in shorter else low)
    low, high = min(lowest), max(highest)
    return ClockOffset(seconds=(low + high) / 2, uncertainty_seconds=(high - low) / 2)


def offset_over_run(first: ClockOffset | None, last: ClockOffset | None) -> ClockOffset | None:
    """Return the offset over a whole run: the drift between its start and its end adds to the uncertainty.

    Args:
        first: offset at the start.
        last: offset at the end.

    Returns:
        The mean offset; None if either is unknown.
    """
    if first is None or last is None:
        return None
    uncertainty = max(first.uncertainty_seconds, last.uncertainty_seconds)
    return ClockOffset(
        seconds=(first.seconds + last.seconds) / 2,
        uncertainty_seconds=uncertainty + abs(first.seconds - last.seconds) / 2,
    )
