"""Open-loop scheduler: arrivals start when they are due, independent of the results of earlier ones.

A closed-loop user, who waits for an answer before the next request, sends nothing while the server stalls,
and so records one slow request where a thousand real users would have waited. Locust's own users are
closed-loop; here the scheduler calls them.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import gevent
from gevent.pool import Group

from infra.measurements.slo_evaluation import MAX_START_DELAY_SECONDS
from loadtests.shapes import arrival_times

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.generator.recorder import Recorder
    from loadtests.protocol import GeneratorConfig

MAX_OPEN_ARRIVALS = 2000
"""Open arrivals of one generator; further ones are dropped and counted."""
DRAIN_SECONDS = 60.0
"""Time for open arrivals to finish after the end of the load profile."""


class Arrival(gevent.Greenlet):  # type: ignore[type-arg]  # generic in its stubs only
    """An open arrival.

    Attributes:
        number: index among the arrivals of all generators.
        due_at: instant at which it was due, on the monotonic clock.
        is_resolved: whether the result of its request is known.
    """

    def __init__(self, number: int, due_at: float, run_task: Callable[[Arrival], None]) -> None:
        super().__init__(run_task, self)
        self.number = number
        self.due_at = due_at
        self.is_resolved = False


class OpenLoopScheduler:
    """Starts the arrivals of one generator."""

    def __init__(
        self, config: GeneratorConfig, run_task: Callable[[Arrival], None], recorder: Recorder
    ) -> None:
        """Create a scheduler.

        Args:
            config: load profile, start time and share of the arrivals.
            run_task: runs the requests of an arrival.
            recorder: records starts and dropped arrivals.
        """
        self._config = config
        self._run_task = run_task
        self._recorder = recorder
        self._open_arrivals = Group()

    @property
    def open_arrivals(self) -> int:
        """Number of arrivals that have not finished."""
        return len(self._open_arrivals)

    def run(self) -> None:
        """Start every arrival when it is due; return when all have finished or the drain time is over."""
        config, profile = self._config, self._config.profile
        numbered = enumerate(arrival_times(profile.shape, profile.rate, profile.duration_seconds))
        for number, due in itertools.islice(numbered, config.index, None, config.count):
            due_at = config.start + due
            gevent.sleep(max(0.0, due_at - time.monotonic()))
            self._start_arrival(number, due_at)
        self._open_arrivals.join(timeout=DRAIN_SECONDS)
        self._open_arrivals.kill()

    def _start_arrival(self, number: int, due_at: float) -> None:
        self._recorder.record_due(due_at)
        if len(self._open_arrivals) >= MAX_OPEN_ARRIVALS:
            self._recorder.record_dropped(due_at)
            return
        self._open_arrivals.start(Arrival(number, due_at, self._run_arrival))

    def _run_arrival(self, arrival: Arrival) -> None:
        delay = time.monotonic() - arrival.due_at
        self._recorder.record_start(delay, is_late=delay > MAX_START_DELAY_SECONDS)
        try:
            self._run_task(arrival)
        except Exception as error:  # noqa: BLE001 - whatever a task raises is an error of the generator
            self._recorder.record_generator_error(f"{type(error).__name__}: {error}")
        finally:  # killed at the end of the drain time as well
            if not arrival.is_resolved:
                self._recorder.record_unresolved(arrival.due_at)
