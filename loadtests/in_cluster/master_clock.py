"""The clock of a master in a cluster, compared with that of this machine over the whole run."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from websocket import WebSocketException

from infra.kubernetes import API_ERRORS
from loadtests.clock_offset import RoundTrip, estimate_offset, offset_over_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.clock_offset import ClockOffset

FIRST_ROUND_TRIPS = 8
INTERVAL_SECONDS = 1.0
RECENT_ROUND_TRIPS = 16
"""The estimate at the end is of the last ones: clocks drift."""
_ERRORS = (*API_ERRORS, WebSocketException, OSError, ValueError)


class RemoteClock(Protocol):
    """A program that answers each line with its monotonic clock; see `infra.pod_exec.Dialogue`."""

    def exchange_line(self, line: str = "") -> str:
        """Return the answer to a line."""
        ...

    def close(self) -> None:
        """End the program."""
        ...


class MasterClock:
    """The monotonic clock of the master's machine. Nothing is known while it does not answer.

    Args:
        open_clock: starts the program beside the master.
    """

    def __init__(self, open_clock: Callable[[], RemoteClock]) -> None:
        self._open_clock = open_clock
        self._clock: RemoteClock | None = None
        self._round_trips: deque[RoundTrip] = deque(maxlen=RECENT_ROUND_TRIPS)
        self._first: ClockOffset | None = None
        self._next_at = 0.0

    def measure(self) -> None:
        """Read the clock, at most once per interval; several times at first."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + INTERVAL_SECONDS
        try:
            self._clock = self._clock or self._open_clock()
            for _ in range(1 if self._first else FIRST_ROUND_TRIPS):
                self._round_trips.append(_round_trip(self._clock))
        except _ERRORS:
            self.close()
            return
        self._first = self._first or estimate_offset(self._round_trips)

    @property
    def offset(self) -> ClockOffset | None:
        """The master's clock minus that of this machine, over the run until now; None if it is unknown."""
        return offset_over_run(self._first, estimate_offset(self._round_trips))

    def close(self) -> None:
        """End the program."""
        clock, self._clock = self._clock, None
        if clock is not None:
            with suppress(*_ERRORS):
                clock.close()


def _round_trip(clock: RemoteClock) -> RoundTrip:
    sent = time.monotonic()
    remote = float(clock.exchange_line())
    return RoundTrip(sent, remote, time.monotonic())
