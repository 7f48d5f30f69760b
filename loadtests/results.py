"""Results of a load test: metrics, and their evaluation against the SLOs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, computed_field

from infra.errors import EsqError
from infra.measurements.run_values import RunOutcome, RunValue
from infra.measurements.slo_evaluation import SloEvaluation, evaluate
from loadtests import verdict
from loadtests.protocol import IntervalResult, LoadProfile
from services.contracts.slo import SloStatus

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


class Latency(BaseModel):
    """Latencies of one kind of request, from the instant each was due, in seconds.

    What did not succeed counts as the horizon of the run: it took at least that long.

    Attributes:
        count: number of requests, successful or not.
        failed: how many of them did not succeed.
        percentiles: values in the order of `PERCENTILES`; None without any request.
        histogram: latencies in microseconds, encoded by HdrHistogram: runs can be merged and compared.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    failed: int = 0
    percentiles: tuple[float, ...] | None
    histogram: str = ""

    @property
    def p99(self) -> float | None:
        """99th percentile, seconds; None without any request."""
        return self.percentiles[PERCENTILES.index(99.0)] if self.percentiles else None


class IntervalStats(IntervalResult):
    """Arrivals that were due in one interval of the run, merged over all generators.

    Attributes:
        percentiles: latencies of the accepted requests in the order of `PERCENTILES`, seconds; None if there
            are none.
    """

    model_config = ConfigDict(frozen=True)

    percentiles: tuple[float, ...] | None


class Messages(BaseModel):
    """Delivery of the messages of all campaigns that were offered in a run.

    Attributes:
        planned: number of messages, including those of campaigns that were refused.
        received: messages that the provider received.
        failed: messages that the provider finally rejected.
        lost: messages that were recorded as sent, but not received by the provider; and recipients of ended
            campaigns for whom there is no message.
        duplicated: messages that were received more than once.
        uncertain: messages with an unknown outcome.
        latency: time from the instant the creation of the campaign was due until the provider received the
            message; the horizon for those that it did not receive.
        duration_seconds: time from the first campaign's due instant to the last receipt; the horizon if
            messages are missing.
        fairness: longest time of a company until a quarter of its messages was received, divided by a quarter
            of the time to the last receipt.
        horizon_seconds: time after which nothing was waited for any more.
        interval_seconds: length of an interval.
        intervals: messages of accepted campaigns by interval of the run; those that were not received are
            unresolved.
        problems: campaigns that failed, did not end in time or could not be verified.
    """

    model_config = ConfigDict(frozen=True)

    planned: int
    received: int
    failed: int
    lost: int
    duplicated: int
    uncertain: int
    latency: Latency
    duration_seconds: float
    fairness: float
    horizon_seconds: float
    interval_seconds: int = 1
    intervals: tuple[IntervalStats, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def p99(self) -> float | None:
        """99th percentile of the latency, seconds; None without messages."""
        return self.latency.p99

    @property
    def per_second(self) -> float:
        """Received messages per second; 0 if there are none."""
        return self.received / self.duration_seconds if self.duration_seconds else 0.0


class Annotation(BaseModel):
    """An action of a concurrent experiment.

    Attributes:
        at_seconds: time since the start of the run.
        description: description, for example `node-death of zone-b`.
        is_injection: whether it injects a fault; otherwise it removes one.
    """

    model_config = ConfigDict(frozen=True)

    at_seconds: float
    description: str
    is_injection: bool


class Requests(BaseModel):
    """Merged results of all generators.

    Attributes:
        offered: arrivals that were due: accepted + failed + dropped + unresolved.
        accepted: arrivals whose request was answered with success.
        failed: arrivals whose request was rejected or not answered.
        dropped: arrivals that never started, because too many were open.
        unresolved: arrivals without any result until the end of the run.
        late: arrivals that started late.
        max_late_seconds: longest delay of a start.
        horizon_seconds: time from the start of the run until nothing was waited for any more.
        all: latencies of all arrivals.
        by_name: latencies by request name.
        errors: error counts by request name and message.
        generator_errors: errors of the generators themselves by message.
        interval_seconds: length of an interval.
        intervals: statistics by interval of the run.
    """

    model_config = ConfigDict(frozen=True)

    offered: int
    accepted: int
    failed: int
    dropped: int
    unresolved: int
    late: int
    max_late_seconds: float
    horizon_seconds: float
    all: Latency
    by_name: dict[str, Latency]
    errors: dict[str, dict[str, int]]
    generator_errors: dict[str, int]
    interval_seconds: int
    intervals: tuple[IntervalStats, ...]

    @property
    def accounted(self) -> int:
        """Arrivals with an outcome."""
        return self.accepted + self.failed + self.dropped + self.unresolved

    @property
    def generator_lagged(self) -> bool:
        """Whether too many arrivals started late."""
        return verdict.is_lagging(self.late, self.offered)

    @property
    def p99(self) -> float | None:
        """99th percentile of the latency of all arrivals, seconds; None without arrivals."""
        return self.all.p99

    @property
    def failed_percent(self) -> float:
        """Percentage of arrivals that were not accepted."""
        return 100 * (1 - self.accepted / self.offered) if self.offered else 100.0


class WebhookDrain(BaseModel):
    """Processing of webhooks.

    Attributes:
        messages: messages with a status update.
        updated: messages whose state was updated.
        drain_seconds: time from the end of the load profile until the state of every message was updated, or
            until it was waited for no longer. An upper bound: the generators end first, which takes seconds.
    """

    model_config = ConfigDict(frozen=True)

    messages: int
    updated: int
    drain_seconds: float


class ResourceUsage(BaseModel):
    """Resource usage of the pods of one component.

    Attributes:
        pods: number of measured pods.
        cores: CPU cores used by all of them together, average over the run.
        memory_mib: maximum working set of one pod, MiB; this is what the limit applies to.
        limit_mib: memory limit of one pod, MiB; 0 for none.
    """

    model_config = ConfigDict(frozen=True)

    pods: int
    cores: float
    memory_mib: float
    limit_mib: float


class HostCpu(BaseModel):
    """CPU usage of the host that ran the load test.

    Attributes:
        cores: number of cores.
        used: cores used, on average.
        steal: cores used by other virtual machines while this one had runnable processes, on average.
    """

    model_config = ConfigDict(frozen=True)

    cores: int
    used: float
    steal: float


class CpuOverTime(BaseModel):
    """CPU cores used in each interval from the start of the load profile until all work was done.

    Attributes:
        interval_seconds: length of an interval.
        host: of the host that ran the load test: `used` and `stolen` by other virtual machines.
        components: of all pods of each component, the busiest first.
    """

    model_config = ConfigDict(frozen=True)

    interval_seconds: int
    host: dict[str, tuple[float | None, ...]]
    components: dict[str, tuple[float | None, ...]]


class LoadReport(BaseModel):
    """Report of one run.

    Attributes:
        scenario: name of the scenario.
        title: its one-line description.
        unit: unit that the rate counts, e.g. messages.
        profile: load profile, with its rate in units.
        generators: number of generator processes.
        in_cluster: whether they ran in the cluster.
        environment: name of the environment.
        started_at: start of the run (UTC, ISO 8601).
        command: command line.
        slo_metrics: SLO id -> metric.
        requests: merged results of the generators.
        messages: delivery of the campaigns' messages, if the scenario verifies it.
        webhooks: processing of webhooks, if the scenario measures it.
        resource_usage: usage by component of the platform, highest CPU usage first.
        host_cpu: CPU usage of the host.
        cpu_over_time: CPU usage of the host and of the components over time.
        is_evidence: whether its values are recorded as measurements of the SLOs: the load was at least
            that of the scenario, and no experiment ran.
        experiment: name of the concurrent experiment.
        experiment_problems: reasons why the run does not show what the experiment does to it.
        annotations: actions of the concurrent experiment.
        experiment_report: HTML report of the concurrent experiment.
        host: facts about the host.
        versions: versions of the software under test.
        commit: commit of the code.
    """

    model_config = ConfigDict(frozen=True)

    scenario: str
    title: str
    unit: str
    profile: LoadProfile
    generators: int
    in_cluster: bool = False
    environment: str
    started_at: str
    command: str
    slo_metrics: dict[str, str]
    requests: Requests
    messages: Messages | None = None
    webhooks: WebhookDrain | None = None
    resource_usage: dict[str, ResourceUsage] = Field(default_factory=dict)
    host_cpu: HostCpu | None = None
    cpu_over_time: CpuOverTime | None = None
    is_evidence: bool = False
    experiment: str = ""
    experiment_problems: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    experiment_report: str = ""
    host: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str = ""

    @property
    def busy_seconds(self) -> float:
        """Time from the start of the load profile until all work was done."""
        messages, webhooks = self.messages, self.webhooks
        return max(
            self.profile.duration_seconds + (webhooks.drain_seconds if webhooks else 0.0),
            messages.duration_seconds if messages else 0.0,
        )

    @property
    def generator_problems(self) -> list[str]:
        """Reasons why the run says nothing about the platform."""
        return verdict.generator_problems(self.requests)

    @property
    def failures(self) -> list[str]:
        """Reasons why the run failed: what was offered was not accepted or not delivered."""
        return verdict.platform_failures(self.requests, self.messages, self.webhooks)

    @computed_field  # type: ignore[prop-decorator]  # pydantic documents this order
    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons why the run is not valid; empty for a valid run. Independent of SLOs."""
        return (*self.generator_problems, *self.failures, *self.experiment_problems)

    @computed_field  # type: ignore[prop-decorator]  # same
    @property
    def outcome(self) -> RunOutcome:
        """Whether the values of the run count. Derived from its facts: nothing can claim a valid run."""
        return RunOutcome.INVALID if self.reasons else RunOutcome.VALID

    @property
    def valid(self) -> bool:
        """Whether the values of the run count."""
        return self.outcome is RunOutcome.VALID

    @property
    def evaluations(self) -> list[SloEvaluation]:
        """Evaluation of each SLO, which a failed run cannot meet and failed generators do not measure."""
        return [evaluate(slo_id, name, [self._value(name)]) for slo_id, name in self.slo_metrics.items()]

    def _value(self, metric: str) -> RunValue:
        value = None if self.generator_problems else self.metric(metric)
        return RunValue(value=value).from_run(self.outcome)

    @property
    def violated(self) -> list[SloEvaluation]:
        """Evaluations of the violated SLOs."""
        return [evaluation for evaluation in self.evaluations if evaluation.status is SloStatus.VIOLATED]

    @property
    def latencies(self) -> dict[str, Latency]:
        """All latencies by name; requests first."""
        latencies = {"all requests": self.requests.all, **self.requests.by_name}
        return {**latencies, "messages": self.messages.latency} if self.messages else latencies

    def metric(self, name: str) -> float | None:
        """Return a metric by name: `requests.p99`, `messages.lost`, ...; None if nothing was measured.

        Raises:
            EsqError: this run has no such metric.
        """
        section, _, attribute = name.partition(".")
        value = getattr(getattr(self, section, None), attribute, name)
        if value is not None and not isinstance(value, int | float):
            raise EsqError(f"this run has no metric `{name}`", location=self.scenario)
        return None if value is None else float(value)
