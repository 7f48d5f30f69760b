"""The master's side of a run: it gives every worker its share, collects the results and notices lost workers.

Locust starts the users; when all have started, the workers of that moment share the load profile. A worker
that ends early leaves a part of the load out, and one that joins later has no part in it.
"""

from __future__ import annotations

import logging
import time
import uuid
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import gevent
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from loadtests import verdict
from loadtests.generator.configuration import chosen_profile
from loadtests.generator.scheduler import DRAIN_SECONDS
from loadtests.generator.worker_run import REPORT_KEY, START_MESSAGE, STOP_MESSAGE
from loadtests.master_messages import START_DELAY_SECONDS
from loadtests.merge import merge_results
from loadtests.protocol import GeneratorMessage, GeneratorPlan, GeneratorResult, Progress

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.generator.worker_run import WorkerRun
    from loadtests.protocol import LoadProfile

RESULT_TIMEOUT_SECONDS = 30.0
"""After the drain time, for the results to arrive."""
MISSING_SECONDS = 10.0
"""A worker without heartbeats for this long is lost. Locust waits 3 s, which a busy machine may take."""
WATCH_INTERVAL_SECONDS = 0.5
logger = logging.getLogger(__name__)


class RunControl:
    """Control of the runs of one Locust process that is the master or the only one.

    Args:
        environment: Locust environment.
        runner: runner of this process.
        local: the worker's side in this process; None on a master.
    """

    def __init__(
        self, environment: Environment, runner: MasterRunner | LocalRunner, local: WorkerRun | None
    ) -> None:
        self._environment, self._runner, self._local = environment, runner, local
        self._options = environment.parsed_options or Namespace()
        self._plan: GeneratorPlan | None = None
        self._progress: dict[str, Progress] = {}
        self._results: dict[str, GeneratorResult] = {}
        self._missing_since: dict[str, float] = {}
        self.has_ended = True
        events = environment.events
        events.test_start.add_listener(self.reset)
        events.spawning_complete.add_listener(self._start)
        events.worker_report.add_listener(self._receive)
        events.test_stop.add_listener(self._end)

    def reset(self, **_: object) -> None:
        """Forget the last run."""
        self._plan, self.has_ended = None, False
        self._progress, self._results, self._missing_since = {}, {}, {}

    def _start(self, **_: object) -> None:
        """Share the load profile among the workers. Locust fires this again when users move."""
        if self._plan is not None:
            return
        try:
            profile = chosen_profile(self._options)
        except ValueError as error:
            logger.error("The load profile is invalid: %s", error)  # noqa: TRY400 - the reason is all of it
            self.has_ended, self._environment.process_exit_code = True, 2
            return
        workers = self._connected_workers()
        start, name = time.monotonic() + START_DELAY_SECONDS, uuid.uuid4().hex[:8]
        for index, worker in enumerate(workers):
            self._progress[worker] = Progress()
            self._plan = GeneratorPlan(
                run_name=name, profile=profile, start=start, index=index, count=len(workers)
            )
            self._send_plan(worker, self._plan)
        self._print(GeneratorMessage(start=start))
        self._runner.greenlet.spawn(self._watch, profile, start)

    def _connected_workers(self) -> list[str]:
        if isinstance(self._runner, LocalRunner):
            return [self._runner.client_id]
        return [client.id for client in self._runner.clients.all if client.state != STATE_MISSING]

    def _send_plan(self, worker: str, plan: GeneratorPlan) -> None:
        if self._local is None:
            self._runner.send_message(START_MESSAGE, plan.model_dump(mode="json"), client_id=worker)
        else:
            self._local.start(plan)

    def _receive(self, client_id: str, data: dict[str, Any]) -> None:
        """Store what a worker of this run reports."""
        report = data.get(REPORT_KEY)
        if report is None or self._plan is None or report["run_name"] != self._plan.run_name:
            return
        self._progress[client_id] = Progress.model_validate(report["progress"])
        if report.get("result") is not None:
            self._results[client_id] = GeneratorResult.model_validate(report["result"])

    def _watch(self, profile: LoadProfile, start: float) -> None:
        """Report progress until every worker has sent its result or is lost, or the deadline."""
        deadline = start + profile.duration_seconds + DRAIN_SECONDS + RESULT_TIMEOUT_SECONDS
        try:
            while not self.has_ended and time.monotonic() < deadline:
                gevent.sleep(WATCH_INTERVAL_SECONDS)
                if self._local is not None:
                    self._receive_local(self._local)
                self._print(GeneratorMessage(progress=_sum(self._progress.values())))
                if lost := self._lost_workers():
                    self._runner.send_message(STOP_MESSAGE)  # the run is invalid; repeating does no harm
                if len(self._results) + len(lost) == len(self._progress):
                    break
        finally:  # also when nobody reads the messages any more: a load test without an end is worse
            self._end()

    def _receive_local(self, local: WorkerRun) -> None:
        [worker] = self._progress
        self._progress[worker] = local.scheduler.progress
        if local.result is not None:
            self._results[worker] = local.result

    def _lost_workers(self) -> list[str]:
        """Return the workers that have ended without a result, or are silent for too long."""
        if isinstance(self._runner, LocalRunner):
            return []
        clients, now = self._runner.clients, time.monotonic()
        for worker in self._progress:
            if worker in clients and clients[worker].state != STATE_MISSING:
                self._missing_since.pop(worker, None)
            else:
                self._missing_since.setdefault(worker, now if worker in clients else now - MISSING_SECONDS)
        return [
            worker
            for worker, since in self._missing_since.items()
            if worker not in self._results and now - since >= MISSING_SECONDS
        ]

    def _end(self, **_: object) -> None:
        """Report the results once; a worker without a result makes the run invalid."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._plan is None:  # stopped by a user that cannot start, which Locust has logged
            self._environment.process_exit_code = 1
            return
        results = [self._results.get(worker) or _missing_result(worker) for worker in self._progress]
        self._print(GeneratorMessage(results=results))
        requests = merge_results(results, self._plan.profile.interval_seconds)
        logger.info(
            "Open loop: %d arrivals offered, %d accepted, %d failed, %d dropped, %d unresolved, %d late",
            *(requests.offered, requests.accepted, requests.failed),
            *(requests.dropped, requests.unresolved, requests.late),
        )
        if problems := verdict.generator_problems(requests):
            logger.error("The run is invalid: %s", "; ".join(problems))
            self._environment.process_exit_code = 1

    def _print(self, message: GeneratorMessage) -> None:
        if self._options.json_messages:
            print(message.model_dump_json(exclude_defaults=True), flush=True)  # noqa: T201 - the protocol


def _missing_result(worker: str) -> GeneratorResult:
    return GeneratorResult(generator_errors={f"no result of worker {worker}: it ended early or is silent": 1})


def _sum(workers: Any) -> Progress:  # noqa: ANN401
    return Progress(
        due=sum(progress.due for progress in workers),
        open=sum(progress.open for progress in workers),
        done=sum(progress.done for progress in workers),
        failed=sum(progress.failed for progress in workers),
    )
