"""A worker's side of a run: it receives its plan, runs it, and reports progress and result to the master."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import gevent

from loadtests.clock_offset import offset_over_run
from loadtests.generator.clock_sync import ClockSync
from loadtests.generator.scheduler import scheduler_of
from loadtests.protocol import GeneratorPlan

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import LocalRunner, WorkerRunner

    from loadtests.protocol import GeneratorResult

START_MESSAGE, STOP_MESSAGE = "open_loop_start", "open_loop_stop"
REPORT_KEY = "open_loop"
"""Key of progress and result in the reports of a worker."""
NICENESS = -10
"""Generators get CPU before the platform, where permitted: a late generator would measure itself."""


class WorkerRun:
    """Runs the plans that the master sends, or that the only process makes itself.

    Args:
        environment: Locust environment.
        runner: runner of this process.

    Attributes:
        result: result of the last run; None while it runs.
    """

    def __init__(self, environment: Environment, runner: WorkerRunner | LocalRunner) -> None:
        self.result: GeneratorResult | None = None
        self._is_reported = False
        self.scheduler = scheduler_of(environment)
        self._clock = ClockSync(runner)
        self._greenlet: gevent.Greenlet[[GeneratorPlan], None] | None = None
        events = environment.events
        events.report_to_master.add_listener(self._report)
        events.test_stopping.add_listener(self._stop)
        runner.register_message(START_MESSAGE, self._receive_plan)
        runner.register_message(STOP_MESSAGE, self._stop)
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)

    def start(self, plan: GeneratorPlan) -> None:
        """Run a plan in the background."""
        gc.collect()
        gc.freeze()  # imported objects are excluded: collections are short and do not delay arrivals
        self.result, self._is_reported = None, False
        self._greenlet = gevent.spawn(self._run, plan)

    def _receive_plan(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both
        self.start(GeneratorPlan.model_validate(msg.data))

    def _run(self, plan: GeneratorPlan) -> None:
        first = self._clock.wait_for_estimate()
        offset = first.seconds if first else 0.0
        result = self.scheduler.run(plan, plan.start - offset)
        clock_offset = offset_over_run(first, self._clock.estimate())
        result.clock_offset = clock_offset
        if result.created and not (clock_offset and clock_offset.is_usable):
            result.generator_errors[
                "the clock offset between worker and master is unknown or too uncertain"
            ] = 1
        correction = clock_offset.seconds if clock_offset else 0.0
        result.created = [
            campaign.model_copy(update={"due_at": campaign.due_at + correction})
            for campaign in result.created
        ]
        self.result = result

    def _report(self, data: dict[str, Any], **_: object) -> None:
        if self.scheduler.plan is None:
            return
        report = data[REPORT_KEY] = {
            "run_name": self.scheduler.plan.run_name,
            "progress": self.scheduler.progress.model_dump(),
        }
        if self.result is not None and not self._is_reported:
            self._is_reported = True
            report["result"] = self.result.model_dump(mode="json")

    def _stop(self, **_: object) -> None:
        """End a run early; its result says so."""
        if self._greenlet and not self._greenlet.dead:
            self._greenlet.kill()
