"""Load scenarios: requests, default load profile, and the SLOs that each one measures. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import UsageError
from loadtests.protocol import LoadProfile
from loadtests.shapes import Shape, Spacing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtests.results import Requests

FOLDER = Path(__file__).resolve().parent
"""Folder of the locustfiles."""
CREATE_CAMPAIGN = "create campaign"
"""Name of the request that creates a campaign."""
_MESSAGE_SLOS = {"load-lost": "messages.lost", "load-duplicated": "messages.duplicated"}


@dataclass(frozen=True)
class Scenario:
    """A load test.

    Attributes:
        name: name on the command line.
        title: one-line description.
        profile: default load profile.
        unit: what the rate counts per second.
        companies: number of companies; requests are made on behalf of each in turn.
        contacts: number of contacts on each company's list.
        per_arrival: units of the rate in one arrival: recipients of a campaign, or 1.
        slo_metrics: SLO id -> metric of the report it is evaluated with.
        verify_delivery: whether to wait for the end of all campaigns and reconcile them with the ledger.
        connection_rate: messages per second that each company's connection may send; None for the default.
        needs_sent_campaign: whether the webhooks refer to messages of a campaign that is sent before the run.
        drain_seconds: longest wait for the end of all pending work after the load profile.
    """

    name: str
    title: str
    profile: LoadProfile
    unit: str = "requests"
    companies: int = 20
    contacts: int = 50
    per_arrival: int = 1
    slo_metrics: Mapping[str, str] = field(default_factory=dict)
    verify_delivery: bool = False
    connection_rate: float | None = None
    needs_sent_campaign: bool = False
    drain_seconds: float = 900.0

    def arrival_profile(self, profile: LoadProfile) -> LoadProfile:
        """Return a load profile in arrivals: a campaign is one arrival for all of its recipients."""
        return profile.model_copy(update={"rate": profile.rate / self.per_arrival})

    def offered_campaigns(self, requests: Requests) -> int:
        """Return how many campaigns a run offered: its arrivals, or in a mixture those requests."""
        if self.per_arrival > 1:
            return requests.offered
        creations = requests.by_name.get(CREATE_CAMPAIGN)
        return creations.count if creations else 0


# Arrivals of whole campaigns are even: their number is what the scenario says, and each is a burst by itself.
SCENARIOS = (
    Scenario(
        "api",
        "Interactive API use: lists, drafts, replies",
        LoadProfile(shape=Shape.STEADY, rate=50, duration_seconds=60),
        slo_metrics={"api-p99": "requests.p99", "api-error-rate": "requests.failed_percent"},
    ),
    Scenario(
        "end-to-end",
        "Consecutive campaigns of 100, latency of each message from acceptance to receipt by the provider",
        LoadProfile(shape=Shape.STEADY, rate=278, duration_seconds=600, spacing=Spacing.EVEN),
        unit="messages",
        companies=40,
        contacts=100,
        connection_rate=250,
        per_arrival=100,
        slo_metrics={"end-to-end-latency-p99": "messages.p99", **_MESSAGE_SLOS},
        verify_delivery=True,
    ),
    Scenario(
        "campaign",
        "One campaign to 100,000 contacts",
        LoadProfile(shape=Shape.STEADY, rate=100_000, duration_seconds=1, spacing=Spacing.EVEN),
        unit="messages",
        companies=1,
        contacts=100_000,
        connection_rate=1000,
        per_arrival=100_000,
        slo_metrics={"bulk-campaign-time": "messages.duration_seconds", **_MESSAGE_SLOS},
        verify_delivery=True,
    ),
    Scenario(
        "million",
        "A million messages: 100 campaigns of 10,000 within ten minutes, each of another company",
        LoadProfile(shape=Shape.STEADY, rate=1_000_000 / 600, duration_seconds=600, spacing=Spacing.EVEN),
        unit="messages",
        companies=100,
        contacts=10_000,
        connection_rate=1000,
        per_arrival=10_000,
        slo_metrics={"million-messages-time": "messages.duration_seconds", **_MESSAGE_SLOS},
        verify_delivery=True,
        drain_seconds=3600,
    ),
    Scenario(
        "campaigns",
        "100 campaigns of 1,000 within ten seconds, each of another company",
        LoadProfile(shape=Shape.STEADY, rate=10_000, duration_seconds=10, spacing=Spacing.EVEN),
        unit="messages",
        companies=100,
        contacts=1000,
        per_arrival=1000,
        slo_metrics={"campaign-fairness": "messages.fairness", **_MESSAGE_SLOS},
        verify_delivery=True,
    ),
    Scenario(
        "webhooks",
        "Status updates from the provider, ten per webhook, some of them repeatedly",
        LoadProfile(shape=Shape.STEADY, rate=834, duration_seconds=60),
        unit="status updates",
        companies=1,
        contacts=5000,
        connection_rate=1000,
        per_arrival=10,
        slo_metrics={"webhook-drain-time": "webhooks.drain_seconds"},
        needs_sent_campaign=True,
    ),
    Scenario(
        "mixed-day",
        "A working day in ten minutes: API requests and campaigns of 50 together",
        LoadProfile(shape=Shape.DAY, rate=50, duration_seconds=600),
        slo_metrics={
            "api-p99": "requests.p99",
            "api-error-rate": "requests.failed_percent",
            **_MESSAGE_SLOS,
        },
        verify_delivery=True,
    ),
)
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def locustfile(scenario: str) -> Path:
    """Return the locustfile of a scenario."""
    return FOLDER / f"{scenario.replace('-', '_')}.py"


def find_scenario(name: str) -> Scenario:
    """Return a scenario by name.

    Raises:
        UsageError: there is no such scenario.
    """
    if name not in _BY_NAME:
        raise UsageError(
            f"there is no scenario `{name}`", location="SCENARIO", remedy=f"Use one of {', '.join(_BY_NAME)}."
        )
    return _BY_NAME[name]
