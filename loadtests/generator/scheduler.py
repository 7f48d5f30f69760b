"""Scheduler of the arrivals of one worker."""

from __future__ import annotations

import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import gevent
from gevent.pool import Group
from locust.exception import StopUser

from infra.measurements.slo_evaluation import MAX_START_DELAY_SECONDS
from loadtests.arrivals import shared_arrivals
from loadtests.generator.recorder import Recorder
from loadtests.protocol import GeneratorPlan, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User
    from locust.env import Environment

    from loadtests.protocol import GeneratorResult

MAX_OPEN_ARRIVALS = 2000
"""Open arrivals of one worker; further ones are dropped and counted."""
DRAIN_SECONDS = 60.0
"""Time for open arrivals to finish after the end of the load profile."""


class ArrivalLostError(Exception):
    """An arrival without an answer, in Locust's statistics."""


class Arrival(gevent.Greenlet):  # type: ignore[type-arg]  # generic in its stubs only
    """An open arrival.

    Attributes:
        number: index among the arrivals of all workers.
        due_at: instant at which it was due, on the monotonic clock.
        is_resolved: whether the result of its request is known.
    """

    def __init__(self, number: int, due_at: float, run: Callable[[Arrival], None]) -> None:
        super().__init__(run, self)
        self.number = number
        self.due_at = due_at
        self.is_resolved = False


class ArrivalScheduler:
    """Starts the arrivals of one worker.

    Args:
        environment: Locust environment.

    Attributes:
        recorder: records the outcome of every arrival.
        users: users that run arrivals.
        plan: what the worker runs; None before the first run.
    """

    def __init__(self, environment: Environment) -> None:
        self.recorder = Recorder(0.0)
        self.plan: GeneratorPlan | None = None
        self.users: list[User] = []
        self._environment = environment
        self._open_arrivals = Group()
        self._random = Random(0)  # noqa: S311 - deliberately repeatable
        self._horizon = 0.0

    @property
    def progress(self) -> Progress:
        """Arrivals so far."""
        due, done = self.recorder.counts.arrivals, self.recorder.done
        return Progress(due=due, open=len(self._open_arrivals), done=done, failed=self.recorder.failed)

    def run(self, plan: GeneratorPlan, start: float) -> GeneratorResult:
        """Start every arrival when it is due; wait until all have finished or the drain time is over.

        Args:
            plan: load profile and share of the arrivals.
            start: start of the profile on this machine's monotonic clock, seconds.

        Returns:
            The result, also when the greenlet is killed.
        """
        profile = plan.profile
        self.plan, self.recorder = plan, Recorder(start, profile.interval_seconds)
        self._random = Random(f"{profile.seed}/{plan.index}/tasks")  # noqa: S311 - deliberately repeatable
        self._horizon = start + profile.duration_seconds + DRAIN_SECONDS
        try:
            for number, due in shared_arrivals(profile, plan.index, plan.count):
                due_at = start + due
                gevent.sleep(max(0.0, due_at - time.monotonic()))
                self._start_arrival(number, due_at)
            gevent.sleep(max(0.0, start + profile.duration_seconds - time.monotonic()))
            self._open_arrivals.join(timeout=DRAIN_SECONDS)
        except gevent.GreenletExit:
            self.recorder.record_generator_error("stopped before the end of the load profile")
        self._open_arrivals.kill()
        return self.recorder.result(time.monotonic())

    def _start_arrival(self, number: int, due_at: float) -> None:
        self.recorder.record_due(due_at)
        if len(self._open_arrivals) >= MAX_OPEN_ARRIVALS:
            self.recorder.record_dropped(due_at)
            self._report_lost("DROPPED", due_at)
            return
        self._open_arrivals.start(Arrival(number, due_at, self._run_arrival))

    def _run_arrival(self, arrival: Arrival) -> None:
        delay = time.monotonic() - arrival.due_at
        self.recorder.record_start(delay, is_late=delay > MAX_START_DELAY_SECONDS)
        try:
            self._run_task()
        except Exception as error:  # noqa: BLE001 - whatever a task raises is an error of the generator
            self.recorder.record_generator_error(f"{type(error).__name__}: {error}")
        finally:  # killed at the end of the drain time as well
            if not arrival.is_resolved:
                self.recorder.record_unresolved(arrival.due_at)
                self._report_lost("UNRESOLVED", arrival.due_at)

    def _run_task(self) -> None:
        """Run a task drawn by weight, of any user: Locust's weights determine how many a class has."""
        if not self.users:
            raise LookupError("the worker has no user")
        user = self._random.choice(self.users)
        task = self._random.choice(user.tasks)
        with suppress(StopUser):
            task(user)  # type: ignore[operator]  # no TaskSet, see `OpenLoopMixin`

    def _report_lost(self, kind: str, due_at: float) -> None:
        """Count an arrival without an answer in Locust's statistics: it took at least until the horizon."""
        self._environment.events.request.fire(
            request_type=kind,
            name="arrival",
            response_time=(self._horizon - due_at) * 1000,
            response_length=0,
            exception=ArrivalLostError(kind.lower()),
            context={},
        )


_SCHEDULERS: WeakKeyDictionary[Environment, ArrivalScheduler] = WeakKeyDictionary()


def scheduler_of(environment: Environment) -> ArrivalScheduler:
    """Return the scheduler of a Locust environment."""
    if environment not in _SCHEDULERS:
        _SCHEDULERS[environment] = ArrivalScheduler(environment)
    return _SCHEDULERS[environment]
