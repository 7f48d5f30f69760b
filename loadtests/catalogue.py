"""The journeys: what each asks for, how much of it by default, and which promises it measures. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.errors import UsageError
from loadtests.order import Timetable
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

_MESSAGES = {"load-lost": "messages.lost", "load-duplicated": "messages.duplicated"}


@dataclass(frozen=True)
class Journey:
    """A load to be put on the platform.

    Attributes:
        name: of it.
        title: what happens, in one line.
        timetable: when, if nothing else is asked for.
        unit: what the rate counts per second.
        companies: on whose behalf, in turn.
        contacts: on each company's list.
        per_arrival: units of the rate in one arrival: recipients of a campaign, or 1.
        promises: promise -> figure of the report that it is held against.
        followed: whether campaigns are followed to their end and held against the ledger.
        granted: messages per second that each company's number may send; none means the default.
        reported: whether the callbacks are about the messages of a campaign that is sent before.
    """

    name: str
    title: str
    timetable: Timetable
    unit: str = "requests"
    companies: int = 20
    contacts: int = 50
    per_arrival: int = 1
    promises: Mapping[str, str] = field(default_factory=dict)
    followed: bool = False
    granted: float | None = None
    reported: bool = False


JOURNEYS = (
    Journey(
        "api",
        "People at their desks: lists, drafts, replies",
        Timetable(shape=Shape.STEADY, rate=50, seconds=60),
        promises={"api-p99": "requests.p99", "api-failed": "requests.failed"},
    ),
    Journey(
        "path",
        "Campaigns of 100 one after the other, each message followed from acceptance to the provider",
        Timetable(shape=Shape.STEADY, rate=278, seconds=600),
        unit="messages",
        companies=40,
        contacts=100,
        granted=250,
        per_arrival=100,
        promises={"path-p99": "messages.p99", **_MESSAGES},
        followed=True,
    ),
    Journey(
        "campaign",
        "One campaign to 100,000 contacts",
        Timetable(shape=Shape.STEADY, rate=100_000, seconds=1),
        unit="messages",
        companies=1,
        contacts=100_000,
        granted=1000,
        per_arrival=100_000,
        promises={"million": "messages.million", **_MESSAGES},
        followed=True,
    ),
    Journey(
        "campaigns",
        "100 campaigns of 1,000 within ten seconds, of as many companies",
        Timetable(shape=Shape.STEADY, rate=10_000, seconds=10),
        unit="messages",
        companies=100,
        contacts=1000,
        per_arrival=1000,
        promises={"campaigns-fair": "messages.fairness", **_MESSAGES},
        followed=True,
    ),
    Journey(
        "callbacks",
        "The provider reports on messages, ten in each callback, some of it again and again",
        Timetable(shape=Shape.STEADY, rate=834, seconds=60),
        unit="reports",
        companies=1,
        contacts=5000,
        granted=1000,
        per_arrival=10,
        promises={"callbacks-behind": "callbacks.behind"},
        reported=True,
    ),
    Journey(
        "day",
        "A working day in ten minutes: the API and campaigns of 50, all at once",
        Timetable(shape=Shape.DAY, rate=50, seconds=600),
        promises={"api-p99": "requests.p99", "api-failed": "requests.failed", **_MESSAGES},
        followed=True,
    ),
)
_BY_NAME = {journey.name: journey for journey in JOURNEYS}


def find(name: str) -> Journey:
    """Return a journey by name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _BY_NAME:
        raise UsageError(
            f"no journey is called `{name}`", location="JOURNEY", remedy=f"One of {', '.join(_BY_NAME)}."
        )
    return _BY_NAME[name]
