"""Chaos experiment during a load test: its process, and its annotations on the timeline."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from infra.errors import EsqError
from infra.measurements.run_values import RunOutcome
from infra.subprocesses import PYTHON_MODULE
from loadtests.results import Annotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

BASELINE_SECONDS = 10.0
"""Load before the experiment starts, so that a report shows the normal state."""
EXPERIMENT_TIMEOUT_SECONDS = 600.0
INTERRUPT_TIMEOUT_SECONDS = 60.0
MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment did to a load test.

    Attributes:
        annotations: its actions.
        report: path of its HTML report.
        problems: reasons why the load test does not show what the fault does to it.
    """

    annotations: tuple[Annotation, ...] = ()
    report: str = ""
    problems: tuple[str, ...] = ()


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

    def wait_for_result(self, start: float, busy_seconds: float) -> ExperimentResult:
        """Wait for the end of the experiment.

        Args:
            start: start of the load profile, on the monotonic clock.
            busy_seconds: time from then until all work was done.

        Returns:
            The result; an empty one without an experiment.

        Raises:
            EsqError: the experiment did not start, did not end or has no report.
        """
        if self._experiment is None:
            return ExperimentResult()
        if not self._load_started:
            return ExperimentResult(problems=("the load ended before the experiment started",))
        self._timer.join()
        if self._process is None:
            raise EsqError(f"experiment `{self._experiment}` did not start", location="esq chaos run")
        try:
            out, errors = self._process.communicate(timeout=EXPERIMENT_TIMEOUT_SECONDS)
            return parse_result(json.loads(out), start, busy_seconds)
        except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
            raise EsqError(
                f"experiment `{self._experiment}` returned no report",
                location="esq chaos run",
                remedy=f"Remove faults that may remain: `esq chaos rollback {self._environment}`.",
                detail="" if isinstance(error, subprocess.TimeoutExpired) else errors[-MAX_ERROR_CHARACTERS:],
            ) from error


def parse_result(report: Mapping[str, Any], start: float, busy_seconds: float) -> ExperimentResult:
    """Return the result of an experiment.

    Args:
        report: what `esq chaos run --json` prints.
        start: start of the load profile, on the monotonic clock.
        busy_seconds: time from then until all work was done.
    """
    annotations = tuple(
        Annotation(
            at_seconds=action["at"] - start,
            description=action["description"],
            is_injection=action["is_injection"],
        )
        for run in report["runs"]
        for action in run["annotations"]
    )
    problems = tuple(_problems(report["runs"], annotations, busy_seconds))
    return ExperimentResult(annotations, str(report["page"]), problems)


def _problems(
    runs: list[Mapping[str, Any]], annotations: tuple[Annotation, ...], busy_seconds: float
) -> Iterator[str]:
    for run in runs:
        if run["outcome"] != RunOutcome.VALID:
            yield f"the experiment is {run['outcome']}: {'; '.join(run['reasons'])}"
    if not any(item.is_injection and 0 <= item.at_seconds < busy_seconds for item in annotations):
        yield "no fault was injected before all work was done: use a longer --duration"
