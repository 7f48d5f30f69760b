"""What came of a run: figures, and how they stand to the promises."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import EsqError
from infra.measurements.slo_evaluation import MAX_LATE_FRACTION, SloEvaluation, evaluate
from loadtests.order import Timetable  # noqa: TC001 - pydantic reads the annotations
from services.contracts.promises import Standing

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
FEW = 3
"""So many may in any case: of a hundred arrivals two are no share worth the name."""
MILLION = 1_000_000


class Latency(BaseModel):
    """Latencies of one kind of request, from the instant each was due, in seconds.

    Attributes:
        count: how many.
        failed: how many of them were refused or not answered.
        percentiles: in the order of `PERCENTILES`.
    """

    model_config = ConfigDict(frozen=True)

    count: int
    failed: int = 0
    percentiles: tuple[float, ...]

    @property
    def p99(self) -> float:
        """Seconds that 99 of 100 stay within."""
        return self.percentiles[PERCENTILES.index(99.0)]


class Second(BaseModel):
    """What was due in one second of the run: answered, failed, and the longest wait of them."""

    model_config = ConfigDict(frozen=True)

    good: int = 0
    bad: int = 0
    worst: float = 0.0


class Messages(BaseModel):
    """What became of the messages of all campaigns of a run.

    Attributes:
        planned: messages in all.
        failed: that the provider refused for good.
        lost: believed sent, and not received by the provider.
        duplicated: received twice.
        uncertain: of which nobody knows.
        latency: from the instant the campaign was due to be created, to the provider's receipt.
        seconds: from the first campaign's due instant to the last receipt.
        fairness: the longest wait of a company for a quarter of its messages, of a quarter of all the time.
    """

    model_config = ConfigDict(frozen=True)

    planned: int
    failed: int
    lost: int
    duplicated: int
    uncertain: int
    latency: Latency
    seconds: float
    fairness: float

    @property
    def p99(self) -> float:
        """Of all messages, in seconds."""
        return self.latency.p99

    @property
    def million(self) -> float:
        """Seconds that a million messages would take at this rate."""
        return self.seconds / self.latency.count * MILLION


class Mark(BaseModel):
    """What an experiment did meanwhile; `at` counts from the beginning of the run, in seconds."""

    model_config = ConfigDict(frozen=True)

    at: float
    what: str
    hurts: bool


class Requests(BaseModel):
    """What all generators saw.

    Attributes:
        arrivals: that were due.
        late: that began late.
        worst_late: seconds.
        dropped: that never began, since too many were open.
        all: latencies of all requests.
        kinds: latencies by kind of request.
        errors: what was said, by kind and text.
        series: by second.
    """

    model_config = ConfigDict(frozen=True)

    arrivals: int
    late: int
    worst_late: float
    dropped: int
    all: Latency
    kinds: dict[str, Latency]
    errors: dict[str, dict[str, int]]
    series: tuple[Second, ...]

    @property
    def generator_lagged(self) -> bool:
        """Whether so many arrivals began late that the timetable was not kept."""
        return self.late > max(FEW, MAX_LATE_FRACTION * self.arrivals)

    @property
    def p99(self) -> float:
        """Of all requests, in seconds."""
        return self.all.p99

    @property
    def failed(self) -> float:
        """Percent of arrivals that were refused, not answered, or could not begin."""
        return 100 * (self.all.failed + self.dropped) / max(1, self.arrivals)


class Callbacks(BaseModel):
    """How soon callbacks were worked on.

    Attributes:
        messages: that were reported on.
        behind: seconds from the last callback until every message had moved.
    """

    model_config = ConfigDict(frozen=True)

    messages: int
    behind: float


class Use(BaseModel):
    """What the pods of one part took.

    Attributes:
        pods: that were seen.
        cores: processors that all of them took together, on average over the run.
        memory: most that one of them held at a look, in MiB: its working set, which is what its limit is held
            against.
        limit: what one of them may hold, in MiB; 0 where nothing limits it.
    """

    model_config = ConfigDict(frozen=True)

    pods: int
    cores: float
    memory: float
    limit: float


class Machine(BaseModel):
    """How busy the machine was that the run was made from.

    Attributes:
        cores: that it has.
        taken: of them, on average.
        stolen: of them, by other virtual machines while something here wanted to run.
    """

    model_config = ConfigDict(frozen=True)

    cores: int
    taken: float
    stolen: float


class Report(BaseModel):
    """One run.

    Attributes:
        journey: its name.
        title: in one line.
        unit: what the rate counts.
        timetable: when arrivals were due; its rate in units.
        processes: generators.
        environment: what it was run on.
        at: when it began (UTC, ISO 8601).
        command: what was typed.
        promises: figure by promise.
        requests: what generators saw.
        messages: what became of the campaigns' messages, if they were followed.
        callbacks: how soon callbacks were worked on, if that was the question.
        uses: what each part of the platform took meanwhile, the dearest first.
        machine: how busy the machine was that it was run from; None in reports of before this was asked.
        marks: what an experiment did meanwhile.
        experiment: its report's page.
        host: facts of the machine.
        versions: of what was measured.
        commit: of the code.
    """

    model_config = ConfigDict(frozen=True)

    journey: str
    title: str
    unit: str
    timetable: Timetable
    processes: int
    environment: str
    at: str
    command: str
    promises: dict[str, str]
    requests: Requests
    messages: Messages | None = None
    callbacks: Callbacks | None = None
    uses: dict[str, Use] = Field(default_factory=dict)
    machine: Machine | None = None
    marks: tuple[Mark, ...] = ()
    experiment: str = ""
    host: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str = ""

    @property
    def valid(self) -> bool:
        """Whether the figures say something of the platform, and not of the generator."""
        return not self.requests.generator_lagged

    @property
    def verdicts(self) -> list[SloEvaluation]:
        """Each promise against this run; none when it is not valid."""
        if not self.valid:
            return []
        return [evaluate(promise, metric, [self.metric(metric)]) for promise, metric in self.promises.items()]

    @property
    def broken(self) -> list[SloEvaluation]:
        """The promises that do not hold."""
        return [each for each in self.verdicts if each.status is Standing.BROKEN]

    @property
    def latencies(self) -> dict[str, Latency]:
        """All latencies by what they are of; requests first."""
        found = {"all requests": self.requests.all, **self.requests.kinds}
        return {**found, "messages": self.messages.latency} if self.messages else found

    def metric(self, name: str) -> float:
        """Return a figure by name: `requests.p99`, `messages.lost`, ...

        Raises:
            EsqError: this run has no such figure.
        """
        part, _, figure = name.partition(".")
        found = getattr(self, part, None)
        value = getattr(found, figure, None)
        if not isinstance(value, int | float):
            raise EsqError(f"no figure `{name}` in this run", location=self.journey)
        return float(value)
