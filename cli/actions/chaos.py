"""Run experiments, and store their reports and measurements."""

from __future__ import annotations

import copy
import datetime as dt
import json
import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from chaoslib.control import load_global_controls
from chaoslib.experiment import run_experiment as run_with_chaostoolkit
from chaoslib.types import Dry, Strategy

from chaos.experiment import Experiment, find_name, load, parse
from chaos.html_report import render_report
from chaos.journal import UndoFailedError
from chaos.log_progress import LogProgress
from chaos.results import ChaosReport, ExperimentRun
from chaos.safety import wait_until_healthy
from chaos.session import INTERRUPTED, Setup
from chaos.stream_logs import write_stream_logs
from cli.actions.alert_detection import Detection, read_detections, write_detections
from cli.actions.chaos_target import chaos_dir, open_experiment_target
from cli.actions.slo import record_measurement
from cli.environment import load_environment
from infra.errors import EsqError
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from chaos.target import Target
    from cli.environment import Environment
    from infra.progress import ProgressReporter

CONTROL_NAME = "esq"
CONTROL_MODULE = "cli.chaos_control"
LOG_NAME = "chaostoolkit.log"
log = logging.getLogger("chaostoolkit")


def report_store(environment: Environment) -> ReportStore[ChaosReport]:
    """Return the reports of an environment."""
    return ReportStore(
        chaos_dir(environment) / "reports",
        ChaosReport,
        f"`esq chaos run {environment.name} EXPERIMENT`, see `esq chaos list`.",
    )


class Recorder:
    """Stores the runs of one experiment as one report, which is written again after every run.

    Args:
        environment: the environment.
        experiment: the experiment.
        command: command line, for the report.
        read_alerts: returns the alerts that fired during a run.
    """

    def __init__(
        self,
        environment: Environment,
        experiment: Experiment,
        command: str,
        read_alerts: Callable[[ExperimentRun], Sequence[Detection]],
    ) -> None:
        self._environment = environment
        self._read_alerts = read_alerts
        self._experiment = experiment
        self._command = command
        self._started_at = dt.datetime.now(dt.UTC)
        self._store = report_store(environment)
        self._facts = host_facts()
        self._runs: list[ExperimentRun] = []
        self.folder = self._store.create(experiment.name, self._started_at)

    @property
    def run_count(self) -> int:
        """Number of stored runs."""
        return len(self._runs)

    def record(self, run: ExperimentRun, journal: Mapping[str, Any], logs: Mapping[str, Any]) -> None:
        """Store a run.

        Args:
            run: the result.
            journal: the journal of Chaos Toolkit.
            logs: raw logs of the traffic; empty without them.
        """
        self._runs.append(run)
        text = json.dumps(journal, indent=2, default=str)
        (self.folder / f"journal-{len(self._runs)}.json").write_text(text, encoding="utf-8")
        if logs:
            write_stream_logs(self.folder / f"streams-{len(self._runs)}.json.gz", logs)
        self._write()
        if detections := self._read_alerts(run):
            write_detections(self.folder, len(self._runs), self._experiment.name, detections)

    def finish(self) -> tuple[ChaosReport, Path]:
        """Store the SLO measurements; return the report and its page, or the log if there was no run.

        A changed document is no evidence for an SLO: its fault may be weaker than the SLO says.
        """
        report, page = self._write()
        for evaluation in report.evaluations if self._experiment.is_shipped else ():
            detail = {"experiment": report.experiment, "report": str(page), "metric": evaluation.metric}
            values = evaluation.distribution.runs
            record_measurement(self._environment, evaluation.slo_id, values, report.command, detail)
        return report, page

    def _write(self) -> tuple[ChaosReport, Path]:
        experiment = self._experiment
        report = ChaosReport(
            experiment=experiment.name,
            title=experiment.title,
            description=experiment.description,
            environment=self._environment.name,
            started_at=self._started_at.isoformat(timespec="seconds"),
            command=self._command,
            slos=experiment.extension.slos if self._environment.is_local_cluster else {},
            runs=tuple(self._runs),
            host=self._facts,
            versions=package_versions(),
            commit=current_commit(),
            runbook=experiment.extension.runbook,
        )
        if not self._runs:  # a dry run, or one that was refused
            return report, self.folder / LOG_NAME
        return report, self._store.write(self.folder, report, render_report(report, experiment.runbook))


_prepared: list[Setup] = []
"""What `run_experiment` has opened for the runs of this process; the plain `chaos` command opens its own."""


def open_setup(document: dict[str, Any], arguments: Mapping[str, Any]) -> Setup:
    """Open the environment of a running document.

    Args:
        document: the document.
        arguments: arguments of the control: `environment`, and `confirm` with its name as confirmation.

    Returns:
        What the run needs.

    Raises:
        ProblemsError: the extension `esq` of the document is invalid.
        UsageError: the environment is unknown, or needs a confirmation.
        EsqError: it is not deployed.
    """
    if _prepared:
        return _prepared[-1]
    experiment = parse(find_name(document), document, is_running=True)
    environment = load_environment(str(arguments["environment"]))
    target = open_experiment_target(environment, str(arguments.get("confirm", "")), progress := LogProgress())
    command = f"chaos run {experiment.name}"
    recorder = Recorder(environment, experiment, command, partial(read_detections, target.kubeconfig))

    def record_and_finish(run: ExperimentRun, journal: Mapping[str, Any], logs: Mapping[str, Any]) -> None:
        """See `Setup.record`."""
        recorder.record(run, journal, logs)
        _, page = recorder.finish()
        log.info("report: %s", page)

    return Setup(experiment, target, progress, record_and_finish)


def run_experiment(  # noqa: PLR0913 - one argument per command line option
    environment: Environment,
    source: str,
    *,
    runs: int,
    confirmed_name: str | None,
    dry: Dry | None,
    command: str,
    progress: ProgressReporter,
) -> tuple[ChaosReport, Path]:
    """Run an experiment; store its report and its SLO measurements.

    Args:
        environment: environment to run it on.
        source: name of an experiment, or path of a document of Chaos Toolkit.
        runs: number of runs.
        confirmed_name: name of the environment as confirmation, required unless its cluster is embedded.
        dry: what Chaos Toolkit only pretends to do; None for nothing.
        command: command line, for the report.
        progress: receives the steps.

    Returns:
        The report and the path of its HTML page.

    Raises:
        EsqError: the experiment could not run, or a fault could not be undone.
        KeyboardInterrupt: a run was interrupted; all its faults are undone.
    """
    experiment = load(source)
    target = open_experiment_target(environment, confirmed_name, progress)
    recorder = Recorder(environment, experiment, command, partial(read_detections, target.kubeconfig))
    setup = Setup(experiment, target, progress, recorder.record)
    try:
        with _chaostoolkit_log(recorder.folder / LOG_NAME):
            for number in range(1, runs + 1):
                with progress.step(f"run {number} of {runs}"):
                    if number > 1:
                        _wait_for_steady_state(target, progress)
                    _run_once(setup, confirmed_name or "", dry)
                    is_recorded = recorder.run_count == number
                    _raise_failure(setup, is_recorded=is_recorded)
                    if not is_recorded and dry not in {Dry.ACTIONS, Dry.ACTIVITIES}:
                        raise _not_observed(source)
    finally:
        report, page = recorder.finish()
    return report, page


def _run_once(setup: Setup, confirmed_name: str, dry: Dry | None) -> None:
    """Run the document with Chaos Toolkit.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    experiment, environment = setup.experiment, setup.target.environment
    arguments = {"environment": environment, "confirm": confirmed_name}
    document = copy.deepcopy(experiment.document) | {"dry": dry}
    provider = {"type": "python", "module": CONTROL_MODULE, "arguments": arguments}
    controls = {} if experiment.has_control(CONTROL_MODULE) else {CONTROL_NAME: {"provider": provider}}
    load_global_controls({"controls": controls})
    _prepared.append(setup)
    try:
        journal = run_with_chaostoolkit(
            document,
            {"runtime": {"rollbacks": {"strategy": _strategy(document, "rollbacks", "always")}}},
            experiment_vars=(dict(arguments), {}),
            strategy=Strategy.from_string(_strategy(document, "hypothesis", "default")),
        )
    except SystemExit:  # the guard aborted while Chaos Toolkit ended the run, which is recorded
        journal = {"status": "aborted"}
    finally:
        _prepared.pop()
    if journal["status"] == INTERRUPTED and not setup.failures:
        raise KeyboardInterrupt


def _strategy(document: Mapping[str, Any], part: str, default: str) -> str:
    """Return the strategy that a document declares in its `runtime`."""
    return str(((document.get("runtime") or {}).get(part) or {}).get("strategy", default))


def _raise_failure(setup: Setup, *, is_recorded: bool) -> None:
    """Raise why the run was refused; the report shows why a recorded one has crashed.

    Raises:
        EsqError: the run was refused, or a fault is not undone.
    """
    for failure in setup.failures:
        if not is_recorded or not isinstance(failure, EsqError) or isinstance(failure, UndoFailedError):
            raise failure
    setup.failures.clear()


def _not_observed(source: str) -> EsqError:
    return EsqError(
        "the document ran, but nothing observed it: the control of esq was not active",
        location=source,
        remedy="Check its `controls`: a `scope` or `automatic: false` disables a control.",
    )


def _wait_for_steady_state(target: Target, progress: ProgressReporter) -> None:
    """Wait between two runs until the effects of the first one are gone."""
    with progress.step("steady state") as step:
        wait_until_healthy(target, step)


@contextmanager
def _chaostoolkit_log(file: Path) -> Iterator[None]:
    """Write the log of Chaos Toolkit to a file; the terminal shows progress."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    original_settings = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = original_settings
        handler.close()
