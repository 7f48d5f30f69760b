"""Protocol between `esq load`, Locust's master and its workers: configuration, plan, progress and result."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from loadtests.clock_offset import ClockOffset  # noqa: TC001 - pydantic reads the annotations
from loadtests.shapes import Shape, Spacing

CONFIG_VARIABLE = "ESQ_LOAD_CONFIG"
"""Names the file of a `LoadConfig`. A path and not its text: the environment of a process is readable."""
MAX_INTERVALS = 120
"""Intervals of a run at most: each holds a histogram of its own."""
_INTERVALS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
_MAX_INTERVAL = 900


def interval_seconds(duration_seconds: float) -> int:
    """Return the length of an interval of results over time, so that a run has few enough."""
    fitting = (seconds for seconds in _INTERVALS if duration_seconds <= seconds * MAX_INTERVALS)
    return next(fitting, _MAX_INTERVAL)


class LoadProfile(BaseModel):
    """Arrival rate over time.

    Attributes:
        shape: how the rate changes over the run.
        rate: maximum arrivals per second.
        duration_seconds: length of the run.
        spacing: how arrivals are spaced at this rate.
        seed: seed of random arrivals and tasks: the same seed gives the same arrivals.
    """

    model_config = ConfigDict(frozen=True)

    shape: Shape
    rate: float = Field(gt=0, le=100_000)
    duration_seconds: float = Field(gt=0, le=86_400)
    spacing: Spacing = Spacing.POISSON
    seed: int = 0

    @property
    def interval_seconds(self) -> int:
        """Length of an interval of the results over time, seconds."""
        return interval_seconds(self.duration_seconds)


class LoadTarget(BaseModel):
    """Where requests are sent, and on whose behalf. Contains secrets.

    Attributes:
        url: URL of the edge.
        ca_file: CA certificate that verifies the edge; None for those that this machine trusts.
        tokens: bearer token of each company; requests are made on behalf of each in turn.
        app_secret: key that signs webhooks; only for webhooks.
        connection: name of each company's connection.
        list_name: name of each company's contact list.
        campaign: id of the campaign whose messages the status updates refer to; only for webhooks.
        sent_messages: phone number id and message id of each of its messages; only for webhooks.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    ca_file: str | None = None
    tokens: dict[str, str] = Field(default_factory=dict, repr=False)
    app_secret: str = Field(default="", repr=False)
    connection: str = "load"
    list_name: str = "load"
    campaign: str = ""
    sent_messages: tuple[tuple[str, str], ...] = ()

    @property
    def companies(self) -> tuple[str, ...]:
        """Companies on whose behalf requests are made."""
        return tuple(self.tokens)


class LoadConfig(BaseModel):
    """Configuration of a load test, in the file that `ESQ_LOAD_CONFIG` names.

    Attributes:
        profile: load profile of all generators together.
        target: where requests are sent; None for the host that Locust is started with.
    """

    model_config = ConfigDict(frozen=True)

    profile: LoadProfile
    target: LoadTarget | None = None


class GeneratorPlan(BaseModel):
    """What one generator runs; the master sends it when all users have started.

    Attributes:
        run_name: name of the run, part of the names of what it creates.
        profile: load profile of all generators together.
        start: start of the profile on the monotonic clock of the master's machine, seconds.
        index: index of the generator, see `shared_arrivals`.
        count: number of generators.
    """

    model_config = ConfigDict(frozen=True)

    run_name: str
    profile: LoadProfile
    start: float
    index: int = 0
    count: int = 1


class CreatedCampaign(BaseModel):
    """A campaign that was accepted.

    Attributes:
        company: company of the campaign.
        id: id of the campaign.
        due_at: instant at which its creation was due, on the monotonic clock of the master's machine.
    """

    model_config = ConfigDict(frozen=True)

    company: str
    id: str
    due_at: float


class Progress(BaseModel):
    """Progress of a generator: arrivals so far."""

    due: int = 0
    open: int = 0
    done: int = 0
    failed: int = 0


class IntervalResult(BaseModel):
    """Arrivals that were due in one interval of the run: `due` is the sum of the four outcomes.

    Attributes:
        due: arrivals that were due.
        accepted: arrivals whose request was answered with success.
        failed: arrivals whose request was rejected or not answered.
        dropped: arrivals that never started, because too many were open.
        unresolved: arrivals without any result until the end of the run.
        completed: requests that were accepted in this interval, whenever they were due.
        latencies: latencies of the accepted requests, encoded by HdrHistogram.
    """

    due: int = 0
    accepted: int = 0
    failed: int = 0
    dropped: int = 0
    unresolved: int = 0
    completed: int = 0
    latencies: str = ""


class GeneratorResult(BaseModel):
    """Result of one generator.

    Attributes:
        histograms: latencies of accepted requests in microseconds from the due instant, by request name,
            encoded by HdrHistogram.
        failed: failed requests by request name.
        errors: error counts by request name and message.
        generator_errors: errors of the generator itself, which are not the platform's, by message.
        intervals: outcomes by interval of the run.
        arrivals: arrivals that were due.
        late: arrivals that started late.
        max_late_seconds: longest delay of a start.
        dropped: arrivals that never started, because too many were open.
        unresolved: arrivals without any result until the end of the run.
        horizon_seconds: time from the start of the run until nothing was waited for any more.
        created: campaigns that were accepted.
        clock_offset: the master's clock minus the generator's; None if it is unknown.
    """

    histograms: dict[str, str] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)
    errors: dict[str, dict[str, int]] = Field(default_factory=dict)
    generator_errors: dict[str, int] = Field(default_factory=dict)
    intervals: dict[int, IntervalResult] = Field(default_factory=dict)
    arrivals: int = 0
    late: int = 0
    max_late_seconds: float = 0.0
    dropped: int = 0
    unresolved: int = 0
    horizon_seconds: float = 0.0
    created: list[CreatedCampaign] = Field(default_factory=list)
    clock_offset: ClockOffset | None = None


class GeneratorMessage(BaseModel):
    """One line of the master's standard output: the start, then progress, then the results.

    Attributes:
        start: start of the load profile on the monotonic clock, seconds.
        progress: progress of all generators together.
        results: result of each generator.
    """

    start: float | None = None
    progress: Progress | None = None
    results: list[GeneratorResult] | None = None
