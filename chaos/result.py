"""What came of an experiment: each run as it was seen, and all runs against the promises. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chaos.context import Mark  # noqa: TC001 - pydantic reads the annotations when the class is made
from chaos.timeline import Event, redundancy_back
from chaos.traffic.figures import Figures
from infra.errors import EsqError
from infra.measurements.slo_evaluation import SloEvaluation, evaluate
from services.contracts.promises import ERROR_BUDGET_SECONDS, Standing

OF_RECORD = ("edge", "kafka", "objects", "postgres")
"""Clients of what holds truth. What Redis loses can be rebuilt: it is told, and breaks no promise."""


class Campaign(BaseModel):
    """The ledger's verdict on the campaign that was sent meanwhile, in messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    planned: int
    seconds: float
    lost: int
    duplicated: int
    uncertain: int


class Run(BaseModel):
    """One run. All times are seconds on the machine's monotonic clock.

    Attributes:
        began: when the traffic began.
        ended: when it was told to stop.
        marks: what the experiment did.
        lanes: what clients saw, by lane.
        events: what changed in the cluster.
        campaign: verdict of the campaign, if one was sent.
        failovers: leads that moved, over Postgres, Redis and Kafka.
        status: of Chaos Toolkit: `completed`, `failed`, `aborted`, `interrupted`.
        deviated: whether all was not well again when it should have been.
        aborted: why the guard ended it; empty when it did not.
    """

    model_config = ConfigDict(frozen=True)

    began: float
    ended: float
    marks: tuple[Mark, ...] = ()
    lanes: dict[str, Figures] = Field(default_factory=dict)
    events: tuple[Event, ...] = ()
    campaign: Campaign | None = None
    failovers: int = 0
    status: str = "completed"
    deviated: bool = False
    aborted: str = ""

    @property
    def trouble(self) -> str:
        """Why it says less than it should; empty for a good run. Promises are another question."""
        if self.aborted or self.status != "completed":
            return self.aborted or self.status
        if self.deviated:
            return "not well again in time"
        return f"not on time themselves: {', '.join(self.lagging)}" if self.lagging else ""

    @property
    def good(self) -> bool:
        """Whether it ran to its end, all was well again, and clients asked when they should."""
        return not self.trouble

    @property
    def lagging(self) -> list[str]:
        """The lanes whose timetable was not kept: their gaps say more of the clients than of the platform."""
        return [name for name, lane in self.lanes.items() if lane.generator_lagged]

    @property
    def hurt_at(self) -> float:
        """When the first fault was injected; the beginning when none was."""
        return next((mark.at for mark in self.marks if mark.hurts), self.began)

    @property
    def lost(self) -> int:
        """Acknowledged writes that are gone from what holds truth."""
        return sum(each.lost for name, each in self.lanes.items() if name.startswith(OF_RECORD))

    @property
    def duplicated(self) -> int:
        """Writes that are there twice."""
        return sum(each.duplicated for each in self.lanes.values())

    @property
    def budget(self) -> float:
        """Share of a month's error budget that the gap at the edge cost."""
        edge = self.lanes.get("edge.read")
        return edge.gap / ERROR_BUDGET_SECONDS if edge else 0.0

    def metric(self, name: str) -> float:
        """Return a figure by name: `lost`, `failovers`, `redundancy`, `campaign.lost`, `kafka.write.gap`, ...

        Of lanes that are parts of one (partitions), the longest gap and the sum of counts are returned.

        Raises:
            EsqError: this run has no such figure.
        """
        if name in {"lost", "duplicated", "failovers"}:
            return float(getattr(self, name))
        if name == "redundancy":
            return round(redundancy_back(self.events, self.hurt_at), 2)
        lane, _, figure = name.rpartition(".")
        if lane == "campaign" and self.campaign is not None:
            return float(getattr(self.campaign, figure))
        found = [each for key, each in self.lanes.items() if key == lane or key.startswith(f"{lane}.")]
        if not found or figure not in Figures.model_fields:
            raise EsqError(
                f"no figure `{name}` in this run", location="experiment", remedy="See `esq chaos show`."
            )
        values = [float(getattr(each, figure)) for each in found]
        return max(values) if figure == "gap" else sum(values)


class Report(BaseModel):
    """An experiment and all of its runs.

    Attributes:
        experiment: its name.
        title: in one line.
        environment: what it was run on.
        at: when it began (UTC, ISO 8601).
        command: what was typed.
        promises: metric by promise.
        runs: in order.
        host: facts of the machine.
        versions: of what was measured.
        commit: of the code.
        runbook: name of the runbook.
    """

    model_config = ConfigDict(frozen=True)

    experiment: str
    title: str
    description: str
    environment: str
    at: str
    command: str
    promises: dict[str, str]
    runs: tuple[Run, ...]
    host: dict[str, Any]
    versions: dict[str, str]
    commit: str
    runbook: str

    @property
    def complete(self) -> list[Run]:
        """The runs whose figures count: those that ran to their end."""
        return [run for run in self.runs if run.status == "completed" and not run.aborted]

    @property
    def verdicts(self) -> list[SloEvaluation]:
        """Each promise against the figures of the complete runs, if there are any."""
        found = {promise: (metric, self._values(metric)) for promise, metric in self.promises.items()}
        return [evaluate(promise, metric, values) for promise, (metric, values) in found.items() if values]

    @property
    def good(self) -> bool:
        """Whether every run was good."""
        return all(run.good for run in self.runs)

    @property
    def broken(self) -> list[SloEvaluation]:
        """The promises that do not hold."""
        return [each for each in self.verdicts if each.status is Standing.BROKEN]

    def _values(self, metric: str) -> list[float]:
        """Return a figure of each run that can tell it: what is lost is lost, a gap may be the clients'."""
        timed = metric.endswith(".gap")
        return [run.metric(metric) for run in self.complete if not (timed and run.lagging)]
