"""Results of an experiment: the observations of each run, and all runs evaluated against SLOs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, computed_field

from chaos import metrics
from chaos.context import Annotation  # noqa: TC001 - pydantic reads the annotations when the class is created
from chaos.timeline import Event, time_to_full_redundancy
from chaos.traffic.client_stats import StreamStats  # noqa: TC001 - same
from chaos.triage_watch import TriageResult  # noqa: TC001 - same
from infra.measurements.run_values import RunOutcome, RunValue
from infra.measurements.slo_evaluation import SloEvaluation, evaluate
from services.contracts.slo import ERROR_BUDGET_SECONDS, SloStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CampaignResult(BaseModel):
    """Reconciliation of the campaign that was sent during the run with the ledger, in messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    planned: int
    seconds: float
    lost: int
    duplicated: int
    uncertain: int


class ActivityResult(BaseModel):
    """Result of an activity of the experiment, from the journal of Chaos Toolkit.

    Attributes:
        name: name of the activity.
        type: `action` or `probe`.
        status: `succeeded`, `failed`, `aborted` or `not run`.
        error: last line of its exception; empty if there was none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    status: str
    error: str = ""

    @property
    def reason(self) -> str:
        """Reason why the activity makes its run invalid; empty if it succeeded."""
        if self.status == "succeeded":
            return ""
        return f"{self.type} `{self.name}` {self.status}" + (f": {self.error}" if self.error else "")


def activity_results(journal: Mapping[str, Any]) -> tuple[ActivityResult, ...]:
    """Return the results of the method's activities from a journal of Chaos Toolkit; `not run` if missing."""
    results = [
        ActivityResult(
            name=str(result["activity"]["name"]),
            type=str(result["activity"]["type"]),
            status=str(result.get("status", "aborted")),
            error=_last_line(result.get("exception")),
        )
        for result in journal.get("run") or ()
    ]
    executed = {result.name for result in results}
    for activity in journal.get("experiment", {}).get("method", ()):
        name = str(activity.get("name") or activity.get("ref"))
        if name not in executed:
            results.append(ActivityResult(name=name, type=activity.get("type", "activity"), status="not run"))
    return tuple(results)


def _last_line(exception: Sequence[str] | str | None) -> str:
    lines = "".join(exception or ()).strip().splitlines()
    return lines[-1].strip() if lines else ""


class ExperimentRun(BaseModel):
    """A run. All times are seconds on the monotonic clock of the host.

    Attributes:
        started_at: start of the traffic.
        ended_at: end of the traffic.
        annotations: injections and undos.
        activities: results of the method's activities.
        streams: client statistics by stream.
        events: state changes of the cluster.
        campaign: result of the campaign, if one was sent.
        last_reading_at: time of the last reading of the cluster's state; None if there was none.
        failovers: number of leader changes of Postgres, Redis and Kafka; None if it is not known.
        triage: which causes a triage named; None if none was due.
        status: status from Chaos Toolkit: `completed`, `failed`, `aborted`, `interrupted`.
        deviated: whether the system was not healthy again in time.
        problems: further reasons why the run is invalid, e.g. a precondition that did not hold.
        abort_reason: reason for the abort; empty if the run was not aborted.
        error: message of the error that ended the run; empty if there was none.
    """

    model_config = ConfigDict(frozen=True)

    started_at: float
    ended_at: float
    annotations: tuple[Annotation, ...] = ()
    activities: tuple[ActivityResult, ...] = ()
    streams: dict[str, StreamStats] = Field(default_factory=dict)
    events: tuple[Event, ...] = ()
    campaign: CampaignResult | None = None
    last_reading_at: float | None = None
    failovers: int | None = None
    triage: TriageResult | None = None
    status: str = "completed"
    deviated: bool = False
    problems: tuple[str, ...] = ()
    abort_reason: str = ""
    error: str = ""

    @computed_field  # type: ignore[prop-decorator]  # pydantic documents this order
    @property
    def outcome(self) -> RunOutcome:
        """How the run ended. Derived from its facts, so that nothing can claim a valid run."""
        if self.error:
            return RunOutcome.CRASHED
        if self.abort_reason or self.status in {"aborted", "interrupted"}:
            return RunOutcome.ABORTED
        return RunOutcome.INVALID if self.reasons else RunOutcome.VALID

    @computed_field  # type: ignore[prop-decorator]  # same
    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons why the run is not valid; empty for a valid run. Independent of SLOs."""
        reasons = [self.error, self.abort_reason, *self.problems]
        reasons += [activity.reason for activity in self.activities]
        if self.status != "completed":
            reasons.append(f"Chaos Toolkit ended with `{self.status}`")
        if not any(annotation.is_injection for annotation in self.annotations):
            reasons.append("no fault was injected")
        if self.deviated:
            reasons.append("not healthy again in time")
        if self.lagging_streams:
            reasons.append(f"clients lagged: {', '.join(self.lagging_streams)}")
        return tuple(reason for reason in reasons if reason)

    @property
    def valid(self) -> bool:
        """Whether the values of the run count."""
        return self.outcome is RunOutcome.VALID

    @property
    def lagging_streams(self) -> list[str]:
        """Streams whose client lagged: their unavailability measures the client rather than the platform."""
        return [name for name, stats in self.streams.items() if stats.generator_lagged]

    @property
    def first_injection_at(self) -> float:
        """Time of the first injection; the start of the run if there was none."""
        return next(
            (annotation.at for annotation in self.annotations if annotation.is_injection), self.started_at
        )

    @property
    def lost(self) -> RunValue:
        """Acknowledged writes that are missing in the durable stores."""
        return metrics.lost(self.streams)

    @property
    def duplicated(self) -> RunValue:
        """Writes that are stored twice."""
        return metrics.duplicated(self.streams)

    @property
    def error_budget_share(self) -> float | None:
        """Share of the error budget of 30 days that this run used at the edge; None without its clients.

        The budget is the share of requests that may fail. The run used bad / all requests of its duration.
        """
        edge = self.streams.get("edge.read")
        if edge is None or edge.error_ratio is None:
            return None
        return edge.error_ratio * (self.ended_at - self.started_at) / ERROR_BUDGET_SECONDS

    def metric(self, name: str) -> RunValue:
        """Return a metric of the run; of a run that is not valid, every value is a lower bound.

        Args:
            name: `lost`, `duplicated`, `failovers`, `time_to_full_redundancy`, `campaign.lost`,
                `kafka.write.max_unavailability_seconds` etc. Of a stream with parts (partitions), the
                worst part or the sum of the counts is returned.

        Raises:
            EsqError: there is no such metric.
        """
        return self._measured(name).from_run(self.outcome)

    def _measured(self, name: str) -> RunValue:
        if name == "lost":
            return self.lost
        if name == "duplicated":
            return self.duplicated
        if name == "failovers":
            return RunValue(value=self.failovers)
        if name == "time_to_full_redundancy":
            since = self.first_injection_at
            return time_to_full_redundancy(self.events, since, self.last_reading_at, self.ended_at)
        section, _, field = name.partition(".")
        if section == "campaign" and field in CampaignResult.model_fields:
            return RunValue(value=getattr(self.campaign, field, None))
        return metrics.stream_metric(self.streams, name)


class ChaosReport(BaseModel):
    """An experiment with all its runs.

    Attributes:
        experiment: name of the experiment.
        title: title of the experiment.
        description: description of the experiment.
        environment: name of the environment.
        started_at: start time (UTC, ISO 8601).
        command: command line.
        slos: metric by id of the SLO.
        runs: the runs, in order.
        host: facts about the host.
        versions: versions of the measured components.
        commit: commit of the code.
        runbook: name of the runbook.
    """

    model_config = ConfigDict(frozen=True)

    experiment: str
    title: str
    description: str
    environment: str
    started_at: str
    command: str
    slos: dict[str, str]
    runs: tuple[ExperimentRun, ...]
    host: dict[str, Any]
    versions: dict[str, str]
    commit: str
    runbook: str

    @property
    def measured_runs(self) -> list[ExperimentRun]:
        """The runs whose values count."""
        return [run for run in self.runs if run.valid]

    @property
    def evaluations(self) -> list[SloEvaluation]:
        """Each SLO evaluated with the values of all runs; none without a run."""
        return [
            evaluate(slo_id, metric, (run.metric(metric) for run in self.runs))
            for slo_id, metric in self.slos.items()
            if self.runs
        ]

    @property
    def all_valid(self) -> bool:
        """Whether every run is valid."""
        return all(run.valid for run in self.runs)

    @property
    def violated(self) -> list[SloEvaluation]:
        """The violated SLOs."""
        return [evaluation for evaluation in self.evaluations if evaluation.status is SloStatus.VIOLATED]

    @property
    def insufficient(self) -> list[SloEvaluation]:
        """The SLOs that no valid run measured."""
        return [evaluation for evaluation in self.evaluations if evaluation.status is SloStatus.INSUFFICIENT]
