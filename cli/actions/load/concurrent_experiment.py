"""Chaos experiment during a load test: its process, and its annotations on the timeline."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Self

from infra.errors import EsqError
from infra.subprocesses import PYTHON_MODULE
from loadtests.results import Annotation

if TYPE_CHECKING:
    from types import TracebackType

BASELINE_SECONDS = 10.0
"""Load before the experiment starts, so that a report shows the normal state."""
EXPERIMENT_TIMEOUT_SECONDS = 600.0
INTERRUPT_TIMEOUT_SECONDS = 60.0
MAX_ERROR_CHARACTERS = 2000


class ConcurrentExperiment:
    """An experiment that runs within the block; leaving early interrupts it, and it rolls back its faults.

    Args:
        experiment: name of the experiment; None for none.
        environment: name of the environment.
        baseline_seconds: load before the experiment starts.
    """

    def __init__(
        self, experiment: str | None, environment: str, *, baseline_seconds: float = BASELINE_SECONDS
    ) -> None:
        self._experiment = experiment
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._timer = threading.Timer(baseline_seconds, self._start)
        self._timer.daemon = True
        self._load_started = False

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        """Interrupt the experiment if it still runs."""
        self._timer.cancel()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(INTERRUPT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def notify_load_started(self) -> None:
        """Schedule the experiment. Further calls have no effect."""
        if self._experiment is not None and not self._load_started:
            self._load_started = True
            self._timer.start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(*PYTHON_MODULE, "cli.main", "chaos", "run", self._environment),
                *(str(self._experiment), "--json", "--confirm", self._environment),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_annotations(self, start: float) -> tuple[tuple[Annotation, ...], str]:
        """Wait for the end of the experiment.

        Args:
            start: start of the load profile, on the monotonic clock.

        Returns:
            The actions of the experiment, and the path of its HTML report.

        Raises:
            EsqError: the experiment did not start, did not end or has no report.
        """
        if not self._load_started:
            return (), ""
        self._timer.join()
        if self._process is None:
            raise EsqError(f"experiment `{self._experiment}` did not start", location="esq chaos run")
        try:
            out, errors = self._process.communicate(timeout=EXPERIMENT_TIMEOUT_SECONDS)
            report = json.loads(out)
            actions = [action for run in report["runs"] for action in run["annotations"]]
        except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
            raise EsqError(
                f"experiment `{self._experiment}` returned no report",
                location="esq chaos run",
                remedy=f"Remove faults that may remain: `esq chaos rollback {self._environment}`.",
                detail="" if isinstance(error, subprocess.TimeoutExpired) else errors[-MAX_ERROR_CHARACTERS:],
            ) from error
        annotations = (
            Annotation(
                at_seconds=action["at"] - start,
                description=action["description"],
                is_injection=action["is_injection"],
            )
            for action in actions
        )
        return tuple(annotations), str(report["page"])
