"""Results of a load test: metrics, and their evaluation against the SLOs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import EsqError
from infra.measurements.slo_evaluation import MAX_LATE_FRACTION, SloEvaluation, evaluate
from loadtests.protocol import LoadProfile  # noqa: TC001 - pydantic reads the annotations
from services.contracts.slo import SloStatus

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
TOLERATED_LATE_ARRIVALS = 3
"""Allowed in any case: a share of a small number of arrivals has no meaning."""
MILLION = 1_000_000


class Latency(BaseModel):
    """Latencies of one kind of request, from the instant each was due, in seconds.

    Attributes:
        count: number of requests.
        failed: how many of them were rejected or not answered.
        percentiles: values in the order of `PERCENTILES`.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    failed: int = 0
    percentiles: tuple[float, ...]

    @property
    def p99(self) -> float:
        """99th percentile, seconds."""
        return self.percentiles[PERCENTILES.index(99.0)]


class SecondStats(BaseModel):
    """Requests that were due in one second of the run: succeeded, failed, and their maximum latency."""

    model_config = ConfigDict(frozen=True)

    succeeded: int = 0
    failed: int = 0
    max_seconds: float = 0.0


class Messages(BaseModel):
    """Delivery of the messages of all campaigns of a run.

    Attributes:
        planned: number of messages.
        failed: messages that the provider finally rejected.
        lost: messages that were recorded as sent, but not received by the provider.
        duplicated: messages that were received more than once.
        uncertain: messages with an unknown outcome.
        latency: time from the instant the creation of the campaign was due until the provider received the
            message.
        duration_seconds: time from the first campaign's due instant to the last receipt.
        fairness: longest time of a company until a quarter of its messages was received, divided by a quarter
            of the duration.
    """

    model_config = ConfigDict(frozen=True)

    planned: int
    failed: int
    lost: int
    duplicated: int
    uncertain: int
    latency: Latency
    duration_seconds: float
    fairness: float

    @property
    def p99(self) -> float:
        """99th percentile of the latency, seconds."""
        return self.latency.p99

    @property
    def seconds_per_million(self) -> float:
        """Time for a million messages, extrapolated from this run."""
        return self.duration_seconds / self.latency.count * MILLION


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
        arrivals: arrivals that were due.
        late: arrivals that started late.
        max_late_seconds: longest delay of a start.
        dropped: arrivals that never started, because too many were open.
        all: latencies of all requests.
        by_name: latencies by request name.
        errors: error counts by request name and message.
        series: statistics by second.
    """

    model_config = ConfigDict(frozen=True)

    arrivals: int
    late: int
    max_late_seconds: float
    dropped: int
    all: Latency
    by_name: dict[str, Latency]
    errors: dict[str, dict[str, int]]
    series: tuple[SecondStats, ...]

    @property
    def generator_lagged(self) -> bool:
        """Whether too many arrivals started late."""
        return self.late > max(TOLERATED_LATE_ARRIVALS, MAX_LATE_FRACTION * self.arrivals)

    @property
    def p99(self) -> float:
        """99th percentile of the latency of all requests, seconds."""
        return self.all.p99

    @property
    def failed_percent(self) -> float:
        """Percentage of arrivals that were rejected, not answered or dropped."""
        return 100 * (self.all.failed + self.dropped) / max(1, self.arrivals)


class WebhookDrain(BaseModel):
    """Processing of webhooks.

    Attributes:
        messages: messages with a status update.
        drain_seconds: time from the last webhook until the state of every message was updated.
    """

    model_config = ConfigDict(frozen=True)

    messages: int
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


class LoadReport(BaseModel):
    """Report of one run.

    Attributes:
        scenario: name of the scenario.
        title: its one-line description.
        unit: unit that the rate counts, e.g. messages.
        profile: load profile, with its rate in units.
        generators: number of generator processes.
        environment: name of the environment.
        started_at: start of the run (UTC, ISO 8601).
        command: command line.
        slo_metrics: SLO id -> metric.
        requests: merged results of the generators.
        messages: delivery of the campaigns' messages, if the scenario verifies it.
        webhooks: processing of webhooks, if the scenario measures it.
        resource_usage: usage by component of the platform, highest CPU usage first.
        host_cpu: CPU usage of the host; None in older reports.
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
    environment: str
    started_at: str
    command: str
    slo_metrics: dict[str, str]
    requests: Requests
    messages: Messages | None = None
    webhooks: WebhookDrain | None = None
    resource_usage: dict[str, ResourceUsage] = Field(default_factory=dict)
    host_cpu: HostCpu | None = None
    annotations: tuple[Annotation, ...] = ()
    experiment_report: str = ""
    host: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str = ""

    @property
    def valid(self) -> bool:
        """Whether the generators kept to the load profile; otherwise the metrics are meaningless."""
        return not self.requests.generator_lagged

    @property
    def evaluations(self) -> list[SloEvaluation]:
        """Evaluation of each SLO with this run; empty if the run is invalid."""
        if not self.valid:
            return []
        return [
            evaluate(slo_id, metric, [self.metric(metric)]) for slo_id, metric in self.slo_metrics.items()
        ]

    @property
    def violated(self) -> list[SloEvaluation]:
        """Evaluations of the violated SLOs."""
        return [evaluation for evaluation in self.evaluations if evaluation.status is SloStatus.VIOLATED]

    @property
    def latencies(self) -> dict[str, Latency]:
        """All latencies by name; requests first."""
        latencies = {"all requests": self.requests.all, **self.requests.by_name}
        return {**latencies, "messages": self.messages.latency} if self.messages else latencies

    def metric(self, name: str) -> float:
        """Return a metric by name: `requests.p99`, `messages.lost`, ...

        Raises:
            EsqError: this run has no such metric.
        """
        section, _, attribute = name.partition(".")
        value = getattr(getattr(self, section, None), attribute, None)
        if not isinstance(value, int | float):
            raise EsqError(f"this run has no metric `{name}`", location=self.scenario)
        return float(value)
