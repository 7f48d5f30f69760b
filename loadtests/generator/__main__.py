"""A generator process: reads its order, tells its progress and its result in lines of JSON."""

# Locust has to come first: it makes the standard library's waiting calls give way to other greenlets.
import locust.env  # isort: skip

import gc
import os
import random
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import gevent
from locust.exception import CatchResponseError

from loadtests.generator.clock import Arrival, Clock
from loadtests.generator.journeys import BY_NAME
from loadtests.generator.recorder import Recorder
from loadtests.generator.visitor import Visitor
from loadtests.order import Line, Order, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_SECONDS = 1.0
NICE = -10
"""Generators go before what they measure, where that is allowed: a late generator measures itself."""


def main() -> None:
    """Do what standard input says."""
    with suppress(PermissionError):
        os.nice(NICE)
    _say(Line(ready=True))
    order = Order.model_validate_json(sys.stdin.read())
    recorder = Recorder(order.start)
    environment = locust.env.Environment()
    visitor = BY_NAME[order.journey](environment, order, recorder)
    environment.events.request.add_listener(partial(_ended, recorder))  # type: ignore[no-untyped-call]  # so it is in Locust
    clock = Clock(order, partial(_visit, visitor, recorder), recorder)
    gc.freeze()  # what was imported stays: a collection then looks at little, and does not make arrivals late
    telling = gevent.spawn(_tell, clock, recorder)
    clock.drive()
    telling.kill()
    _say(Line(told=recorder.result()))


def _visit(visitor: Visitor, recorder: Recorder, arrival: Arrival) -> None:
    """Call one of the visitor's tasks, drawn by weight, always the same for the same arrival."""
    draw = random.Random(arrival.number)  # noqa: S311 - repeatable on purpose
    chosen = cast("Callable[[Visitor], None]", draw.choice(visitor.tasks))
    try:
        chosen(visitor)
    except (ValueError, LookupError, TypeError) as error:
        recorder.request("journey", arrival.planned, time.monotonic(), f"{type(error).__name__}: {error}")


def _ended(recorder: Recorder, name: str, exception: Exception | None, **_: object) -> None:
    """Take note of a request; Locust calls this in the arrival it belongs to."""
    current = gevent.getcurrent()
    if not isinstance(current, Arrival):
        raise TypeError("requests are made by arrivals")
    recorder.request(name, current.planned, time.monotonic(), _told(exception))


def _told(exception: Exception | None) -> str | None:
    if exception is None:
        return None
    return (
        str(exception)
        if isinstance(exception, CatchResponseError)
        else f"{type(exception).__name__}: {exception}"
    )


def _tell(clock: Clock, recorder: Recorder) -> None:
    while True:
        gevent.sleep(TELL_SECONDS)
        told = Progress(
            due=recorder.told.arrivals, open=clock.under_way, done=recorder.done, failed=recorder.failed
        )
        _say(Line(progress=told))


def _say(line: Line) -> None:
    sys.stdout.write(line.model_dump_json(exclude_defaults=True) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
