"""The open loop: arrivals begin when the timetable says so, whatever became of those before.

A user who waits for an answer before asking again stops asking while the server stalls, and so sees one slow
request where a thousand people would have. Locust's own users are such; here they are called by a timetable.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import gevent
from gevent.pool import Group

from infra.measurements.slo_evaluation import MAX_START_DELAY_SECONDS
from loadtests.shapes import arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.generator.recorder import Recorder
    from loadtests.order import Order

MOST_OPEN = 2000
"""Arrivals under way in one generator; one more is dropped, and counted."""
LAST_SECONDS = 60.0
"""For those still under way when the timetable has ended."""


class Arrival(gevent.Greenlet):  # type: ignore[type-arg]  # generic in its stubs only
    """One arrival under way.

    Attributes:
        number: its place among the arrivals of all generators.
        planned: the instant it was due.
    """

    def __init__(self, number: int, planned: float, visit: Callable[[Arrival], None]) -> None:
        super().__init__(visit, self)
        self.number = number
        self.planned = planned


class Clock:
    """Drives the arrivals of one generator."""

    def __init__(self, order: Order, visit: Callable[[Arrival], None], recorder: Recorder) -> None:
        self._order = order
        self._visit = visit
        self._recorder = recorder
        self._open = Group()

    @property
    def under_way(self) -> int:
        """Arrivals that have not ended."""
        return len(self._open)

    def drive(self) -> None:
        """Begin every arrival when it is due, and return when the last has ended, or its time has."""
        order, table = self._order, self._order.timetable
        numbered = enumerate(arrivals(table.shape, table.rate, table.seconds))
        for number, due in itertools.islice(numbered, order.part, None, order.parts):
            planned = order.start + due
            gevent.sleep(max(0.0, planned - time.monotonic()))
            self._begin(number, planned)
        self._open.join(timeout=LAST_SECONDS)
        self._open.kill()

    def _begin(self, number: int, planned: float) -> None:
        self._recorder.told.arrivals += 1
        if len(self._open) >= MOST_OPEN:
            self._recorder.told.dropped += 1
            return
        self._open.start(Arrival(number, planned, self._one))

    def _one(self, arrival: Arrival) -> None:
        late = time.monotonic() - arrival.planned
        self._recorder.started(late, is_late=late > MAX_START_DELAY_SECONDS)
        self._visit(arrival)
