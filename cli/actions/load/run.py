"""Run of a load test, optionally with a chaos experiment; writes its report and SLO measurements."""

from __future__ import annotations

import datetime as dt
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.safety import require_confirmation
from cli.actions.load import setup, verification
from cli.actions.load.concurrent_experiment import ConcurrentExperiment
from cli.actions.load.delivery import OfferedCampaigns
from cli.actions.load.previous_report import find_previous_report
from cli.actions.load.provider_clock import measure_provider_clock
from cli.actions.platform_access import open_platform, require_simulator
from cli.actions.slo import record_measurement
from infra.kubernetes import api_client
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore
from loadtests.generator_processes import GeneratorPool
from loadtests.host_cpu import HostCpuMeter
from loadtests.html_report import render_html
from loadtests.merge import merge_results
from loadtests.protocol import interval_seconds
from loadtests.resource_usage import READ_TIMEOUT_SECONDS, ResourceMeter
from loadtests.results import CpuOverTime, LoadReport

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.platform_access import PlatformAccess
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep
    from loadtests.clock_offset import ClockOffset
    from loadtests.protocol import GeneratorResult, LoadProfile, LoadTarget, Progress
    from loadtests.results import Requests
    from loadtests.scenarios import Scenario

MAX_START_SECONDS = 900.0
"""From the setup to the start of the load profile at most: tokens are valid for this and the profile."""


@dataclass(frozen=True)
class LoadTestRequest:
    """A requested load test.

    Attributes:
        scenario: scenario that determines the requests.
        profile: load profile, its rate in the unit of the scenario.
        workers: number of Locust workers on this machine.
        remote_workers: number of workers that are started on other machines.
        port: port of Locust's master on loopback; 0 for any.
        experiment: experiment to run concurrently; None for none.
        confirmed_name: name of the environment as confirmation of the experiment.
        command: command line.
    """

    scenario: Scenario
    profile: LoadProfile
    workers: int
    experiment: str | None
    confirmed_name: str | None
    command: str
    remote_workers: int = 0
    port: int = 0

    @property
    def arrival_profile(self) -> LoadProfile:
        """Load profile in arrivals: a campaign is one arrival for all of its recipients."""
        return self.scenario.arrival_profile(self.profile)

    @property
    def meets_declared_profile(self) -> bool:
        """Whether it is at least the scenario's own profile: only then the result counts as a measurement."""
        declared, requested = self.scenario.profile, self.profile
        return (
            (requested.shape, requested.spacing) == (declared.shape, declared.spacing)
            and requested.rate >= declared.rate
            and requested.duration_seconds >= declared.duration_seconds
            and self.experiment is None
        )


@dataclass(frozen=True)
class _Run:
    """A load test and the environment that it runs against; the provider's clock before the load."""

    request: LoadTestRequest
    environment: Environment
    access: PlatformAccess
    target: LoadTarget
    provider_clock: ClockOffset | None
    steps: ProgressReporter
    started_at: dt.datetime
    host: dict[str, str | float]


def report_store(environment: Environment) -> ReportStore[LoadReport]:
    """Return the load reports of an environment."""
    return ReportStore(
        environment.folder / "load" / "reports", LoadReport, "`esq load run`, see `esq load list`."
    )


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
        EsqError: the run failed.
    """
    require_simulator(environment)
    if request.experiment:
        require_confirmation(
            environment.name, request.confirmed_name, is_embedded=environment.is_local_cluster
        )
    started_at, store, host = dt.datetime.now(dt.UTC), report_store(environment), host_facts()
    folder = store.create(request.scenario.name, started_at)
    with open_platform(environment, steps) as access:
        with steps.step("setup") as step:
            token_seconds = request.profile.duration_seconds + MAX_START_SECONDS
            target = setup.create_fixtures(request.scenario, access, token_seconds, step)
            verifies = request.scenario.verify_delivery
            clock = measure_provider_clock(access, target.companies[0]) if verifies else None
        run = _Run(request, environment, access, target, clock, steps, started_at, host)
        with ConcurrentExperiment(request.experiment, environment.name) as experiment:
            api = api_client(access.kubeconfig, timeout_seconds=READ_TIMEOUT_SECONDS, retry_seconds=0)
            with HostCpuMeter() as host_cpu, ResourceMeter(api) as meter:
                start, results = _generate_load(run, experiment)
                requests = merge_results(results, request.profile.interval_seconds)
                report = _verify(run, _create_report(run, requests), results, start)
            report = report.model_copy(
                update={
                    "resource_usage": meter.usage(),
                    "host_cpu": host_cpu.measure(),
                    "cpu_over_time": _cpu_over_time(host_cpu, meter, start),
                }
            )
            with steps.step("report") as step:
                # Written before the experiment ends: if the experiment fails, no metrics are lost.
                before = find_previous_report(store, report)
                page = store.write(folder, report, render_html(report, before))
                step.set_result(str(page))
                if request.experiment:
                    step.set_status("waiting for the end of the experiment")
                    result = experiment.wait_for_result(start, report.busy_seconds)
                    report = report.model_copy(
                        update={
                            "annotations": result.annotations,
                            "experiment_report": result.report,
                            "experiment_problems": result.problems,
                        }
                    )
                    before = find_previous_report(store, report)
                    store.write(folder, report, render_html(report, before))
    _record_measurements(environment, request, report, page)
    return report, page


def _create_report(run: _Run, requests: Requests) -> LoadReport:
    """Return the report with the results of the generators."""
    request = run.request
    return LoadReport(
        scenario=request.scenario.name,
        title=request.scenario.title,
        unit=request.scenario.unit,
        profile=request.profile,
        generators=request.workers + request.remote_workers,
        environment=run.environment.name,
        started_at=run.started_at.isoformat(timespec="seconds"),
        command=request.command,
        slo_metrics=dict(request.scenario.slo_metrics),
        is_evidence=request.meets_declared_profile,
        experiment=request.experiment or "",
        experiment_problems=("the experiment has not ended",) if request.experiment else (),
        requests=requests,
        host=run.host,
        versions=package_versions(("locust", "gevent")),
        commit=current_commit(),
    )


def _generate_load(run: _Run, experiment: ConcurrentExperiment) -> tuple[float, list[GeneratorResult]]:
    """Run the generators; return the start of the load profile (monotonic) and the results."""
    request = run.request
    scenario, duration = request.scenario.name, request.profile.duration_seconds
    with (
        run.steps.step(scenario) as step,
        GeneratorPool(
            *(scenario, request.arrival_profile, run.target, request.workers),
            remote_count=request.remote_workers,
            port=request.port,
        ) as generators,
    ):
        step.set_status(
            f"waiting for {request.remote_workers} workers of other machines: docs/load-tests.md"
            if request.remote_workers
            else "waiting for the workers to start"
        )

        def on_progress(progress: Progress) -> None:
            if generators.start <= time.monotonic():
                experiment.notify_load_started()
            _show_progress(step, progress, time.monotonic() - generators.start, duration)

        results = generators.run(on_progress)
        late = sum(result.late for result in results)
        step.set_result(f"{sum(result.arrivals for result in results)} arrivals, {late} late")
        return generators.start, results


def _show_progress(step: ProgressStep, progress: Progress, elapsed: float, duration: float) -> None:
    step.set_status(
        f"{min(max(elapsed, 0), duration):.0f} of {duration:g} s: {progress.due} due, {progress.open} open, "
        f"{progress.done} done, {progress.failed} failed"
    )


def _verify(run: _Run, report: LoadReport, results: list[GeneratorResult], start: float) -> LoadReport:
    """Return the report with the results that are known only after all pending work is done."""
    scenario = run.request.scenario
    if scenario.needs_sent_campaign:
        with run.steps.step("webhooks") as step:
            webhooks = verification.wait_for_read_statuses(
                *(run.target, run.access, start + run.request.profile.duration_seconds),
                *(scenario.drain_seconds, step),
            )
            step.set_result(
                f"{webhooks.updated} of {webhooks.messages} messages updated "
                f"after {webhooks.drain_seconds:.1f} s"
            )
            return report.model_copy(update={"webhooks": webhooks})
    if not scenario.verify_delivery:
        return report
    created = [campaign for result in results for campaign in result.created]
    refused = scenario.offered_campaigns(report.requests) - len(created)
    offered = OfferedCampaigns(created, refused, scenario.contacts, start)
    with run.steps.step("ledger") as step:
        messages = verification.verify_campaigns(
            *(offered, run.access, run.provider_clock), *(scenario.drain_seconds, step)
        )
        step.set_result(
            f"{messages.received} of {messages.planned} messages received, {messages.lost} lost, "
            f"{messages.duplicated} duplicated"
        )
        return report.model_copy(update={"messages": messages})


def _cpu_over_time(host_cpu: HostCpuMeter, meter: ResourceMeter, start: float) -> CpuOverTime:
    """Return the CPU usage from the start of the load profile (monotonic) until now."""
    seconds = time.monotonic() - start
    interval = interval_seconds(seconds)
    count = math.ceil(seconds / interval)
    return CpuOverTime(
        interval_seconds=interval,
        host=host_cpu.over_time(start, interval, count),
        components=meter.over_time(start + time.time() - time.monotonic(), interval, count),
    )


def _record_measurements(
    environment: Environment, request: LoadTestRequest, report: LoadReport, page: Path
) -> None:
    if not request.meets_declared_profile:
        return
    for evaluation in report.evaluations:
        detail = {"scenario": report.scenario, "report": str(page), "metric": evaluation.metric}
        runs = evaluation.distribution.runs
        record_measurement(environment, evaluation.slo_id, runs, report.command, detail)
