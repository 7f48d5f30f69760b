"""Protocol between `esq load` and its generator processes: configuration, progress and result as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from loadtests.shapes import Shape  # noqa: TC001 - pydantic reads the annotations when the class is made


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


class GeneratorResult(BaseModel):
    """Result of one generator.

    Attributes:
        histograms: latencies in microseconds from the due instant, by request name, encoded by HdrHistogram.
        failed: failed requests by request name.
        errors: error counts by request name and message.
        series: succeeded, failed and maximum latency in seconds, by second of the run.
        arrivals: arrivals that were due.
        late: arrivals that started late.
        max_late_seconds: longest delay of a start.
        dropped: arrivals that never started, because too many were open.
        created: campaigns that were accepted.
    """

    histograms: dict[str, str] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)
    errors: dict[str, dict[str, int]] = Field(default_factory=dict)
    series: dict[int, tuple[int, int, float]] = Field(default_factory=dict)
    arrivals: int = 0
    late: int = 0
    max_late_seconds: float = 0.0
    dropped: int = 0
    created: list[CreatedCampaign] = Field(default_factory=list)


class GeneratorMessage(BaseModel):
    """One line of a generator's standard output: exactly one of the fields is set."""

    ready: bool = False
    progress: Progress | None = None
    result: GeneratorResult | None = None
