"""Protocol between `esq load` and its generator processes: configuration, progress and result as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from loadtests.shapes import Shape  # noqa: TC001 - pydantic reads the annotations when the class is made

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
    """

    model_config = ConfigDict(frozen=True)

    shape: Shape
    rate: float = Field(gt=0, le=100_000)
    duration_seconds: float = Field(gt=0, le=86_400)

    @property
    def interval_seconds(self) -> int:
        """Length of an interval of the results over time, seconds."""
        return interval_seconds(self.duration_seconds)


class LoadTarget(BaseModel):
    """Where requests are sent, and on whose behalf. Contains secrets: it is passed on standard input.

    Attributes:
        url: URL of the edge.
        ca_file: CA certificate that verifies the edge; None for those that this machine trusts.
        token_key: HMAC key of bearer tokens.
        app_secret: key that signs webhooks.
        companies: companies on whose behalf requests are made, in turn.
        connection: name of each company's connection.
        list_name: name of each company's contact list.
        campaign: id of the campaign whose messages the status updates refer to; only for webhooks.
        sent_messages: phone number id and message id of each of its messages; only for webhooks.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    ca_file: str | None = None
    token_key: str = Field(default="", repr=False)
    app_secret: str = Field(default="", repr=False)
    companies: tuple[str, ...] = ("load",)
    connection: str = "load"
    list_name: str = "load"
    campaign: str = ""
    sent_messages: tuple[tuple[str, str], ...] = ()


class GeneratorConfig(BaseModel):
    """Configuration of one generator.

    Attributes:
        scenario: name of the scenario.
        profile: load profile of all generators together.
        target: where requests are sent.
        start: start of the profile on the monotonic clock of the machine, seconds.
        index: this generator runs the arrivals `index`, `index + count`, `index + 2 * count`, ...
        count: number of generators.
        run_name: name of the run, part of the names of what it creates.
    """

    model_config = ConfigDict(frozen=True)

    scenario: str
    profile: LoadProfile
    target: LoadTarget
    start: float
    index: int = 0
    count: int = 1
    run_name: str = "run"


class CreatedCampaign(BaseModel):
    """A campaign that was accepted.

    Attributes:
        company: company of the campaign.
        id: id of the campaign.
        due_at: instant at which its creation was due, on the monotonic clock.
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


class GeneratorMessage(BaseModel):
    """One line of a generator's standard output: exactly one of the fields is set."""

    ready: bool = False
    progress: Progress | None = None
    result: GeneratorResult | None = None
