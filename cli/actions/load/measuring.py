"""Measurement of a load test: the generators, the end of all pending work, and the resources meanwhile."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.actions.load import setup, verification
from cli.actions.load.delivery import OfferedCampaigns
from cli.actions.load.provider_clock import measure_provider_clock
from cli.actions.load.token_renewal import TokenRenewal, read_token_key
from infra.kubernetes import api_client
from loadtests.generator_processes import GeneratorPool
from loadtests.host_cpu import HostCpuMeter
from loadtests.in_cluster.cluster import LoadCluster
from loadtests.in_cluster.generators import ClusterGenerators
from loadtests.merge import merge_results
from loadtests.protocol import interval_seconds
from loadtests.resource_usage import READ_TIMEOUT_SECONDS, ResourceMeter
from loadtests.results import CpuOverTime

if TYPE_CHECKING:
    from cli.actions.load.concurrent_experiment import ConcurrentExperiment
    from cli.actions.load.request import LoadTestRequest
    from cli.actions.platform_access import PlatformAccess
    from infra.progress import ProgressReporter, ProgressStep
    from loadtests.clock_offset import ClockOffset
    from loadtests.protocol import GeneratorResult, LoadTarget, Progress
    from loadtests.results import HostCpu, Messages, Requests, ResourceUsage, WebhookDrain

MAX_START_SECONDS = 900.0
"""From the setup to the start of the load profile at most: tokens are valid for this and the profile."""


@dataclass(frozen=True)
class Measurement:
    """What a load test measured.

    Attributes:
        start: start of the load profile on the monotonic clock.
        requests: merged results of the generators.
        messages: delivery of the campaigns' messages, if the scenario verifies it.
        webhooks: processing of webhooks, if the scenario measures it.
        resource_usage: usage by component of the platform.
        host_cpu: CPU usage of this machine.
        cpu_over_time: CPU usage over time.
    """

    start: float
    requests: Requests
    messages: Messages | None
    webhooks: WebhookDrain | None
    resource_usage: dict[str, ResourceUsage]
    host_cpu: HostCpu | None
    cpu_over_time: CpuOverTime


@dataclass(frozen=True)
class _Run:
    """A load test whose fixtures exist; the provider's clock before the load."""

    request: LoadTestRequest
    access: PlatformAccess
    target: LoadTarget
    provider_clock: ClockOffset | None
    steps: ProgressReporter

    @property
    def token_seconds(self) -> float:
        """Lifetime of tokens."""
        return self.request.profile.duration_seconds + MAX_START_SECONDS


def measure(
    request: LoadTestRequest,
    access: PlatformAccess,
    experiment: ConcurrentExperiment,
    steps: ProgressReporter,
) -> Measurement:
    """Run a load test and wait until all pending work is done.

    Args:
        request: the load test.
        access: access to the platform.
        experiment: concurrent experiment, which is told when the load has started.
        steps: progress reporter.

    Raises:
        EsqError: the run failed.
    """
    run = _prepare(request, access, steps)
    api = api_client(access.kubeconfig, timeout_seconds=READ_TIMEOUT_SECONDS, retry_seconds=0)
    with HostCpuMeter() as host_cpu, ResourceMeter(api) as meter:
        start, results = _generate_load(run, experiment)
        requests = merge_results(results, request.profile.interval_seconds)
        webhooks = _drain_webhooks(run, start)
        messages = _verify_delivery(run, requests, results, start)
    return Measurement(
        start=start,
        requests=requests,
        messages=messages,
        webhooks=webhooks,
        resource_usage=meter.usage(),
        host_cpu=host_cpu.measure(),
        cpu_over_time=_cpu_over_time(host_cpu, meter, start),
    )


def _prepare(request: LoadTestRequest, access: PlatformAccess, steps: ProgressReporter) -> _Run:
    """Create the fixtures, and measure the provider's clock if messages are timed by it."""
    with steps.step("setup") as step:
        seconds = request.profile.duration_seconds + MAX_START_SECONDS
        target = setup.create_fixtures(request.scenario, access, seconds, step)
        is_timed = request.scenario.verify_delivery
        clock = measure_provider_clock(access, target.companies[0]) if is_timed else None
    return _Run(request, access, target, clock, steps)


def _generators(run: _Run) -> GeneratorPool | ClusterGenerators:
    """Return the generators: on this machine, or in the cluster with their image."""
    request, target = run.request, run.target
    scenario, profile = request.scenario.name, request.arrival_profile
    if not request.in_cluster:
        return GeneratorPool(
            *(scenario, profile, target, request.workers),
            remote_count=request.remote_workers,
            port=request.port,
        )
    image = run.access.push_load_image()
    cluster = LoadCluster(run.access.kubeconfig)
    return ClusterGenerators(cluster, image, scenario, profile, target, request.workers)


def _generate_load(run: _Run, experiment: ConcurrentExperiment) -> tuple[float, list[GeneratorResult]]:
    """Run the generators; return the start of the load profile (monotonic) and the results."""
    request = run.request
    pool, duration = _generators(run), request.profile.duration_seconds
    with (
        run.steps.step(request.scenario.name) as step,
        pool as generators,
        _token_renewal(run, generators),
    ):
        step.set_status(_awaited_workers(request))

        def on_progress(progress: Progress) -> None:
            if generators.start <= time.monotonic():
                experiment.notify_load_started()
            _show_progress(step, progress, time.monotonic() - generators.start, duration)

        results = generators.run(on_progress)
        late = sum(result.late for result in results)
        step.set_result(f"{sum(result.arrivals for result in results)} arrivals, {late} late")
        return generators.start, results


def _token_renewal(run: _Run, generators: GeneratorPool | ClusterGenerators) -> TokenRenewal:
    """Return the renewal of the tokens, which a rotation of the credentials makes necessary."""
    api = api_client(run.access.kubeconfig, timeout_seconds=READ_TIMEOUT_SECONDS, retry_seconds=0)

    def renew(key: str) -> None:
        generators.replace_tokens(setup.create_tokens(run.target.companies, key, run.token_seconds))

    return TokenRenewal(run.access.credentials.token_key, lambda: read_token_key(api), renew)


def _awaited_workers(request: LoadTestRequest) -> str:
    if request.in_cluster:
        return f"waiting for {request.workers} workers in the cluster"
    if request.remote_workers:
        return f"waiting for {request.remote_workers} workers of other machines: docs/load-tests.md"
    return "waiting for the workers to start"


def _show_progress(step: ProgressStep, progress: Progress, elapsed: float, duration: float) -> None:
    step.set_status(
        f"{min(max(elapsed, 0), duration):.0f} of {duration:g} s: {progress.due} due, {progress.open} open, "
        f"{progress.done} done, {progress.failed} failed"
    )


def _drain_webhooks(run: _Run, start: float) -> WebhookDrain | None:
    """Wait until every message with a status update is updated, if the scenario measures it."""
    scenario = run.request.scenario
    if not scenario.needs_sent_campaign:
        return None
    with run.steps.step("webhooks") as step:
        webhooks = verification.wait_for_read_statuses(
            *(run.target, run.access, start + run.request.profile.duration_seconds),
            *(scenario.drain_seconds, step),
        )
        step.set_result(
            f"{webhooks.updated} of {webhooks.messages} messages updated after {webhooks.drain_seconds:.1f} s"
        )
    return webhooks


def _verify_delivery(
    run: _Run, requests: Requests, results: list[GeneratorResult], start: float
) -> Messages | None:
    """Wait for the end of all campaigns and reconcile them with the ledger, if the scenario verifies it."""
    scenario = run.request.scenario
    if not scenario.verify_delivery:
        return None
    created = [campaign for result in results for campaign in result.created]
    refused = scenario.offered_campaigns(requests) - len(created)
    offered = OfferedCampaigns(created, refused, scenario.contacts, start)
    with run.steps.step("ledger") as step:
        messages = verification.verify_campaigns(
            *(offered, run.access, run.provider_clock), *(scenario.drain_seconds, step)
        )
        step.set_result(
            f"{messages.received} of {messages.planned} messages received, {messages.lost} lost, "
            f"{messages.duplicated} duplicated"
        )
    return messages


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
