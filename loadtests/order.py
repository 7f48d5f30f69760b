"""What a generator is told to do and what it tells: the words between `esq load` and its processes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from loadtests.shapes import Shape  # noqa: TC001 - pydantic reads the annotations when the class is made


class Timetable(BaseModel):
    """When arrivals are due.

    Attributes:
        shape: of the load.
        rate: arrivals per second at its highest.
        seconds: of the run.
    """

    model_config = ConfigDict(frozen=True)

    shape: Shape
    rate: float = Field(gt=0, le=100_000)
    seconds: float = Field(gt=0, le=86_400)


class Ground(BaseModel):
    """Where requests go, and on whose behalf. It holds secrets: it is handed over on standard input.

    Attributes:
        url: of the edge.
        authority: file of the CA that the edge is verified with; none for plain HTTP.
        token_key: HMAC key of bearer tokens.
        app_secret: key that callbacks are signed with.
        companies: whose requests they are, in turn.
        connection: name of each company's connection.
        list: name of each company's list of contacts.
        campaign: for callbacks: the campaign whose messages are reported on.
        reported: the number and the id of each of them.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    authority: str | None = None
    token_key: str = Field(default="", repr=False)
    app_secret: str = Field(default="", repr=False)
    companies: tuple[str, ...] = ("load",)
    connection: str = "load"
    list: str = "load"
    campaign: str = ""
    reported: tuple[tuple[str, str], ...] = ()


class Order(BaseModel):
    """The work of one generator.

    Attributes:
        journey: which requests.
        timetable: when; of all generators together.
        ground: where.
        start: of the timetable, on the machine's monotonic clock.
        part: this generator takes arrivals `part`, `part + parts`, `part + 2 * parts`, ...
        parts: generators in all.
        run: name of the run, part of what it makes.
    """

    model_config = ConfigDict(frozen=True)

    journey: str
    timetable: Timetable
    ground: Ground
    start: float
    part: int = 0
    parts: int = 1
    run: str = "run"


class Created(BaseModel):
    """A campaign that was accepted.

    Attributes:
        company: whose it is.
        id: of the campaign.
        planned: instant its creation was due, on the monotonic clock.
    """

    model_config = ConfigDict(frozen=True)

    company: str
    id: str
    planned: float


class Progress(BaseModel):
    """How far a generator is: arrivals so far."""

    due: int = 0
    open: int = 0
    done: int = 0
    failed: int = 0


class Told(BaseModel):
    """What one generator saw.

    Attributes:
        histograms: microseconds from the planned instant, by kind of request, as HdrHistogram encodes them.
        failed: failed requests by kind.
        errors: what was said, by kind and text.
        series: by second of the run: answered, failed, worst seconds.
        arrivals: that were due.
        late: that began late.
        worst_late: seconds.
        dropped: that never began, since too many were open.
        created: campaigns.
    """

    histograms: dict[str, str] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)
    errors: dict[str, dict[str, int]] = Field(default_factory=dict)
    series: dict[int, tuple[int, int, float]] = Field(default_factory=dict)
    arrivals: int = 0
    late: int = 0
    worst_late: float = 0.0
    dropped: int = 0
    created: list[Created] = Field(default_factory=list)


class Line(BaseModel):
    """A line of a generator's standard output: one of the three."""

    ready: bool = False
    progress: Progress | None = None
    told: Told | None = None
