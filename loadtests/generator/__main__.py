"""Generator process: configuration as JSON on stdin; progress and result as JSON lines on stdout."""

# Locust must be imported first: it monkey-patches blocking calls of the standard library for gevent.
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

from loadtests.generator.base_user import ScenarioUser
from loadtests.generator.open_loop import Arrival, OpenLoopScheduler
from loadtests.generator.recorder import Recorder
from loadtests.generator.scenarios import USER_CLASSES
from loadtests.protocol import GeneratorConfig, GeneratorMessage, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_INTERVAL_SECONDS = 1.0
NICENESS = -10
"""Generators get CPU before the platform, where permitted: a late generator would measure itself."""


def main() -> None:
    """Run the configuration that standard input contains."""
    with suppress(PermissionError):
        os.nice(NICENESS)
    _send(GeneratorMessage(ready=True))
    config = GeneratorConfig.model_validate_json(sys.stdin.read())
    recorder = Recorder(config.start, config.profile.interval_seconds)
    environment = locust.env.Environment()
    user = USER_CLASSES[config.scenario](environment, config, recorder)
    environment.events.request.add_listener(partial(_record_request, recorder))  # type: ignore[no-untyped-call]  # untyped in Locust
    scheduler = OpenLoopScheduler(config, partial(_run_task, user), recorder)
    gc.freeze()  # imported objects are excluded: collections are short and do not delay arrivals
    progress = gevent.spawn(_report_progress, scheduler, recorder)
    scheduler.run()
    progress.kill()
    _send(GeneratorMessage(result=recorder.result(time.monotonic())))


def _run_task(user: ScenarioUser, arrival: Arrival) -> None:
    """Run one of the user's tasks, drawn by weight; the same arrival always gets the same task."""
    draw = random.Random(arrival.number)  # noqa: S311 - deliberately repeatable
    task = cast("Callable[[ScenarioUser], None]", draw.choice(user.tasks))
    task(user)


def _record_request(recorder: Recorder, name: str, exception: Exception | None, **_: object) -> None:
    """Record a request; Locust calls this in the greenlet of its arrival."""
    current = gevent.getcurrent()
    if not isinstance(current, Arrival):
        recorder.record_generator_error(f"the request `{name}` belongs to no arrival")
        return
    current.is_resolved = True
    recorder.record_request(name, current.due_at, time.monotonic(), _error_text(exception))


def _error_text(exception: Exception | None) -> str | None:
    if exception is None:
        return None
    return (
        str(exception)
        if isinstance(exception, CatchResponseError)
        else f"{type(exception).__name__}: {exception}"
    )


def _report_progress(scheduler: OpenLoopScheduler, recorder: Recorder) -> None:
    while True:
        gevent.sleep(PROGRESS_INTERVAL_SECONDS)
        progress = Progress(
            due=recorder.counts.arrivals,
            open=scheduler.open_arrivals,
            done=recorder.done,
            failed=recorder.failed,
        )
        _send(GeneratorMessage(progress=progress))


def _send(message: GeneratorMessage) -> None:
    sys.stdout.write(message.model_dump_json(exclude_defaults=True) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
