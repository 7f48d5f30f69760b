"""Run of a load test, optionally with a chaos experiment; writes its report and SLO measurements."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from chaos.safety import require_confirmation
from cli.actions.load.active_run import exclusive_load, refusal
from cli.actions.load.concurrent_experiment import ConcurrentExperiment
from cli.actions.load.measuring import measure
from cli.actions.load.reporting import ReportWriter, record_measurements
from cli.actions.platform_access import open_platform, require_simulator
from loadtests.in_cluster.cluster import LoadCluster

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.load.request import LoadTestRequest
    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from loadtests.results import LoadReport


def run_load_test(
    environment: Environment, request: LoadTestRequest, steps: ProgressReporter
) -> tuple[LoadReport, Path]:
    """Run a load test; write its report, and record its metrics as SLO measurements.

    Args:
        environment: the environment to load.
        request: scenario and load profile.
        steps: progress reporter.

    Returns:
        The report and the path of its HTML page.

    Raises:
        UsageError: the environment has no simulator, or the experiment requires a confirmation.
        EsqError: another load test runs, or the run failed.
    """
    require_simulator(environment)
    if request.experiment:
        require_confirmation(
            environment.name, request.confirmed_name, is_embedded=environment.is_local_cluster
        )
    with (
        exclusive_load(environment, request.scenario.name),
        open_platform(environment, steps) as access,
        ConcurrentExperiment(request.experiment, environment.name) as experiment,
    ):
        if others := LoadCluster(access.kubeconfig).running():
            raise refusal(environment.name, others)
        writer = ReportWriter.create(environment, request, dt.datetime.now(dt.UTC))
        measurement = measure(request, access, experiment, steps)
        report, page = writer.write(measurement, experiment, steps)
    record_measurements(environment, report, page)
    return report, page
