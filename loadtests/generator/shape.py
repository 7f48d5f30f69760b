"""Locust's part of the load shape: users on every worker, until the open loop has ended.

The rate is no matter of the number of users, so Locust's page does not ask for one. Every locustfile imports
the shape, and so adds the options of the open loop and the control of its runs to Locust.
"""

from __future__ import annotations

import ctypes
import signal
from typing import TYPE_CHECKING

from locust import LoadTestShape, events, runners

from loadtests.generator.clock_sync import answer_clock_requests
from loadtests.generator.configuration import add_options
from loadtests.generator.run_control import RunControl
from loadtests.generator.worker_run import WorkerRun

if TYPE_CHECKING:
    from locust.env import Environment

USERS_PER_WORKER = 20
"""If there are several classes of users: enough to represent their weights."""
_PR_SET_PDEATHSIG = 1

runners.WORKER_REPORT_INTERVAL = 1.0  # seconds; shows progress, and the end of a run soon


class OpenLoopShape(LoadTestShape):
    """Runs a constant number of users until the open loop has ended."""

    control: RunControl | None = None
    _users: int = 0

    def reset_time(self) -> None:
        """Begin a run; its number of users does not follow workers that join or end."""
        super().reset_time()  # type: ignore[no-untyped-call]  # untyped in Locust
        if self.control is not None:
            self.control.reset()  # before Locust fires `test_start`, it asks for users
        runner = self.runner
        workers = runner.worker_count if isinstance(runner, runners.MasterRunner) else 1
        classes = len(runner.user_classes) if runner else 1
        self._users = workers * (1 if classes == 1 else USERS_PER_WORKER)

    def tick(self) -> tuple[int, float] | None:
        """Return number and spawn rate of the users; None at the end of the run."""
        if self.control is None or self.control.has_ended:
            return None
        return self._users, self._users


def _set_up(environment: Environment, runner: runners.Runner, **_: object) -> None:
    """Connect the parts of the open loop that this process runs."""
    control = None
    match runner:
        case runners.WorkerRunner():
            if environment.parsed_options and environment.parsed_options.processes:
                _die_with_parent()
            WorkerRun(environment, runner)
        case runners.LocalRunner():
            control = RunControl(environment, runner, WorkerRun(environment, runner))
        case runners.MasterRunner():
            answer_clock_requests(runner)
            control = RunControl(environment, runner, None)
    if isinstance(environment.shape_class, OpenLoopShape):
        environment.shape_class.control = control


def _die_with_parent() -> None:
    """End this worker, a fork of Locust, with its parent (prctl(2)): it would run on for a minute."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(_set_up)
