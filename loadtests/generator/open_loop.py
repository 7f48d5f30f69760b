"""Open loop: arrivals start when they are due, independent of the results of earlier ones.

A closed-loop user, who waits for an answer before the next request, sends nothing while the server stalls,
and so records one slow request where a thousand real users would have waited. Locust's own users are
closed-loop; with `OpenLoopMixin` their tasks are started by arrivals.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust import User
from locust.exception import CatchResponseError, StopTest
from locust.user.task import LOCUST_STATE_WAITING

from loadtests.generator.scheduler import Arrival, scheduler_of

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.event import EventHook

    from loadtests.generator.scheduler import ArrivalScheduler


class OpenLoopMixin(User):
    """Mixin of a Locust user whose tasks are started by arrivals, many at the same time.

    Each task sends one request: a second one would count the time of the first. `on_start`, `on_stop`, tags
    and weights are Locust's; `wait_time` has no effect, since nothing waits. A client that fires Locust's
    `request` event by itself uses `request_event` for it.

    Args:
        environment: Locust environment.
    """

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if any(isinstance(task, type) for task in self.tasks):
            raise StopTest(f"{type(self).__name__}: a TaskSet is a closed loop; use tasks that are methods")
        self.scheduler: ArrivalScheduler = scheduler_of(environment)
        self.request_event = PlannedRequestEvent(environment.events.request, self.scheduler)
        if client := getattr(self, "client", None):
            client.request_event = self.request_event

    @property
    def arrival(self) -> Arrival:
        """Arrival that runs the current task.

        Raises:
            TypeError: the task was not started by an arrival.
        """
        current = gevent.getcurrent()
        if not isinstance(current, Arrival):
            raise TypeError("tasks are started by arrivals")
        return current

    def run(self) -> None:  # type: ignore[misc]  # Locust's own loop, which is replaced, is the closed one
        """Receive arrivals until Locust stops the user."""
        self._state = LOCUST_STATE_WAITING  # Locust stops a waiting user at once
        try:
            self.on_start()
        except Exception as error:
            self.environment.events.user_error.fire(
                user_instance=self, exception=error, tb=error.__traceback__
            )
            raise
        self.scheduler.users.append(self)
        try:
            Event().wait()
        finally:
            self.scheduler.users.remove(self)
            self.on_stop()  # type: ignore[no-untyped-call]  # untyped in Locust


class PlannedRequestEvent:
    """Locust's `request` event, with the latency from the instant at which the arrival was due.

    Args:
        event: the event to fire.
        scheduler: scheduler whose recorder records the request.
    """

    def __init__(self, event: EventHook, scheduler: ArrivalScheduler) -> None:
        self._event = event
        self._scheduler = scheduler

    def fire(self, **request: Any) -> None:  # noqa: ANN401 - the arguments of Locust's event
        """Record a request and fire the event."""
        arrival = gevent.getcurrent()
        recorder, name = self._scheduler.recorder, request["name"]
        if not isinstance(arrival, Arrival):
            recorder.record_generator_error(f"the request `{name}` belongs to no arrival")
        elif arrival.is_resolved:
            recorder.record_generator_error(f"`{name}` is not the only request of its task")
        else:
            ended_at, arrival.is_resolved = time.monotonic(), True
            recorder.record_request(name, arrival.due_at, ended_at, _error_text(request["exception"]))
            planned_ms = (ended_at - arrival.due_at) * 1000
            if "start_time" in request:
                request["start_time"] -= (planned_ms - request["response_time"]) / 1000
            request["response_time"] = planned_ms
        self._event.fire(**request)


def _error_text(exception: Exception | None) -> str | None:
    if exception is None:
        return None
    return (
        str(exception)
        if isinstance(exception, CatchResponseError)
        else f"{type(exception).__name__}: {exception}"
    )
