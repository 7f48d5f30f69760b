"""Report of a load test: its files, the result of a concurrent experiment, and its SLO measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.load.previous_report import find_previous_report
from cli.actions.slo import record_measurement
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore
from loadtests.html_report import render_html
from loadtests.results import LoadReport

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from cli.actions.load.concurrent_experiment import ConcurrentExperiment
    from cli.actions.load.measuring import Measurement
    from cli.actions.load.request import LoadTestRequest
    from cli.environment import Environment
    from infra.progress import ProgressReporter


def report_store(environment: Environment) -> ReportStore[LoadReport]:
    """Return the load reports of an environment."""
    return ReportStore(
        environment.folder / "load" / "reports", LoadReport, "`esq load run`, see `esq load list`."
    )


@dataclass(frozen=True)
class ReportWriter:
    """Writes the report of one run.

    Attributes:
        environment: the environment under load.
        request: the load test.
        started_at: start of the run.
        host: facts about this machine before the load.
        folder: folder of the report.
    """

    environment: Environment
    request: LoadTestRequest
    started_at: dt.datetime
    host: dict[str, str | float]
    folder: Path

    @classmethod
    def create(
        cls, environment: Environment, request: LoadTestRequest, started_at: dt.datetime
    ) -> ReportWriter:
        """Create the folder of a report.

        Args:
            environment: the environment under load.
            request: the load test.
            started_at: start of the run.
        """
        folder = report_store(environment).create(request.scenario.name, started_at)
        return cls(environment, request, started_at, host_facts(), folder)

    def write(
        self, measurement: Measurement, experiment: ConcurrentExperiment, steps: ProgressReporter
    ) -> tuple[LoadReport, Path]:
        """Write the report, and again with the result of the experiment when it has ended.

        Args:
            measurement: what was measured.
            experiment: concurrent experiment.
            steps: progress reporter.

        Returns:
            The report and the path of its HTML page.

        Raises:
            EsqError: the experiment has no result; the report without it is written.
        """
        report = self._report(measurement)
        with steps.step("report") as step:
            # Written before the experiment ends: if the experiment fails, no metrics are lost.
            page = self._write_files(report)
            step.set_result(str(page))
            if self.request.experiment:
                step.set_status("waiting for the end of the experiment")
                result = experiment.wait_for_result(measurement.start, report.busy_seconds)
                report = report.model_copy(
                    update={
                        "annotations": result.annotations,
                        "experiment_report": result.report,
                        "experiment_problems": result.problems,
                    }
                )
                self._write_files(report)
        return report, page

    def _write_files(self, report: LoadReport) -> Path:
        store = report_store(self.environment)
        return store.write(self.folder, report, render_html(report, find_previous_report(store, report)))

    def _report(self, measurement: Measurement) -> LoadReport:
        request, scenario = self.request, self.request.scenario
        return LoadReport(
            scenario=scenario.name,
            title=scenario.title,
            unit=scenario.unit,
            profile=request.profile,
            generators=request.workers + request.remote_workers,
            in_cluster=request.in_cluster,
            environment=self.environment.name,
            started_at=self.started_at.isoformat(timespec="seconds"),
            command=request.command,
            slo_metrics=dict(scenario.slo_metrics),
            is_evidence=request.meets_declared_profile,
            experiment=request.experiment or "",
            experiment_problems=("the experiment has not ended",) if request.experiment else (),
            requests=measurement.requests,
            messages=measurement.messages,
            webhooks=measurement.webhooks,
            resource_usage=measurement.resource_usage,
            host_cpu=measurement.host_cpu,
            cpu_over_time=measurement.cpu_over_time,
            host=self.host,
            versions=package_versions(("locust", "gevent")),
            commit=current_commit(),
        )


def record_measurements(environment: Environment, report: LoadReport, page: Path) -> None:
    """Record the values of a report as SLO measurements, if it is evidence.

    Args:
        environment: the environment under load.
        report: the report.
        page: its HTML page.
    """
    if not report.is_evidence:
        return
    for evaluation in report.evaluations:
        detail = {"scenario": report.scenario, "report": str(page), "metric": evaluation.metric}
        runs = evaluation.distribution.runs
        record_measurement(environment, evaluation.slo_id, runs, report.command, detail)
