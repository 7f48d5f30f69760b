"""Delivery of the messages of all campaigns that a load test offered. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.actions import send_campaign
from loadtests.clock_offset import MAX_UNCERTAINTY_SECONDS
from loadtests.merge import latency_from_samples, percentiles_of_samples
from loadtests.protocol import interval_seconds
from loadtests.results import IntervalStats, Messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.protocol import CreatedCampaign

FAIRNESS_QUANTILE = 0.25
MAX_PROBLEMS = 10
"""Campaigns that are named in the report; the others are counted."""


@dataclass(frozen=True)
class OfferedCampaigns:
    """The campaigns that a run offered.

    Attributes:
        created: campaigns that were accepted.
        refused: number of campaigns that were not.
        recipients: number of recipients of each.
        started_at: start of the load profile on the monotonic clock.
    """

    created: Sequence[CreatedCampaign]
    refused: int
    recipients: int
    started_at: float


@dataclass
class CampaignOutcome:
    """Outcome of one campaign's messages.

    Attributes:
        created: the campaign.
        states: messages by state.
        lost: messages that were recorded as sent, but not received.
        duplicated: messages that were received more than once.
        receipts: first receipt of each message, seconds on the monotonic clock.
        problem: why the campaign has no regular end or its messages are unknown; empty if there is none.
    """

    created: CreatedCampaign
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicated: int = 0
    receipts: list[float] = field(default_factory=list)
    problem: str = ""

    def planned(self, recipients: int) -> int:
        """Return the number of its messages, at least one for each recipient."""
        return max(recipients, self.states.total())

    def unrecorded(self, recipients: int) -> int:
        """Return the number of recipients without a message, although the campaign has ended: lost ones."""
        return 0 if self.problem else max(0, recipients - self.states.total())


def merge_outcomes(
    outcomes: Sequence[CampaignOutcome], offered: OfferedCampaigns, ended_at: float
) -> Messages:
    """Return the delivery of all messages that were offered.

    Args:
        outcomes: outcome of each campaign that was accepted.
        offered: all campaigns.
        ended_at: instant at which nothing was waited for any more, on the monotonic clock.
    """
    states = sum((outcome.states for outcome in outcomes), Counter[str]())
    started_at = min((outcome.created.due_at for outcome in outcomes), default=offered.started_at)
    planned = offered.refused * offered.recipients + sum(
        outcome.planned(offered.recipients) for outcome in outcomes
    )
    latencies = [at - outcome.created.due_at for outcome in outcomes for at in outcome.receipts]
    missing, horizon = planned - len(latencies), ended_at - started_at
    last = max((at for outcome in outcomes for at in outcome.receipts), default=ended_at)
    duration = horizon if missing else last - started_at
    return Messages(
        planned=planned,
        received=len(latencies),
        failed=states["failed"],
        lost=sum(outcome.lost + outcome.unrecorded(offered.recipients) for outcome in outcomes),
        duplicated=sum(outcome.duplicated for outcome in outcomes),
        uncertain=states[send_campaign.UNCERTAIN],
        latency=latency_from_samples(latencies, missing, horizon),
        duration_seconds=duration,
        fairness=_slowest_quantile(outcomes, offered, started_at, horizon)
        / max(FAIRNESS_QUANTILE * (last - started_at), 1e-9),  # the horizon would flatter
        horizon_seconds=horizon,
        interval_seconds=interval_seconds(ended_at - offered.started_at),
        intervals=_intervals(outcomes, offered, ended_at),
        problems=(*_problems(outcomes), *_clock_problems(latencies)),
    )


def _clock_problems(latencies: Sequence[float]) -> list[str]:
    """Return a problem if messages were received before their campaign was due: a clock was wrong or set."""
    early = sum(seconds < -MAX_UNCERTAINTY_SECONDS for seconds in latencies)
    return [f"{early} messages were received before their campaign was due: a clock is wrong"] * bool(early)


def _intervals(
    outcomes: Sequence[CampaignOutcome], offered: OfferedCampaigns, ended_at: float
) -> tuple[IntervalStats, ...]:
    """Return the messages by the interval in which their campaign was due, and their receipts over time."""
    seconds = interval_seconds(ended_at - offered.started_at)
    due, completed = Counter[int](), Counter[int]()
    latencies: defaultdict[int, list[float]] = defaultdict(list)

    def interval(at: float) -> int:
        return max(0, int((at - offered.started_at) / seconds))

    for outcome in outcomes:
        number = interval(outcome.created.due_at)
        due[number] += outcome.planned(offered.recipients)
        latencies[number] += [at - outcome.created.due_at for at in outcome.receipts]
        completed.update(interval(at) for at in outcome.receipts)
    return tuple(
        IntervalStats(
            due=due[number],
            accepted=len(latencies[number]),
            unresolved=due[number] - len(latencies[number]),
            completed=completed[number],
            percentiles=percentiles_of_samples(latencies[number]),
        )
        for number in range(max([*due, *completed], default=-1) + 1)
    )


def _slowest_quantile(
    outcomes: Sequence[CampaignOutcome], offered: OfferedCampaigns, started_at: float, horizon: float
) -> float:
    """Return a company's longest time until a quarter of its messages was received, at most the horizon.

    Sequential service gives the last company of many nearly the whole duration; concurrent service gives a
    quarter to each. A refused campaign counts as one of another company.
    """
    received: defaultdict[str, list[float]] = defaultdict(list)
    planned: Counter[str] = Counter()
    for outcome in outcomes:
        received[outcome.created.company] += outcome.receipts
        planned[outcome.created.company] += outcome.planned(offered.recipients)
    quantiles = [horizon] * bool(offered.refused)
    for company, count in planned.items():
        times, position = sorted(received[company]), int(count * FAIRNESS_QUANTILE)
        quantiles.append(times[position] - started_at if position < len(times) else horizon)
    return max(quantiles, default=0.0)


def _problems(outcomes: Sequence[CampaignOutcome]) -> tuple[str, ...]:
    """Return the problems of campaigns, the first ones in words."""
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    others = len(problems) - MAX_PROBLEMS
    return (*problems[:MAX_PROBLEMS], *([f"{others} further campaigns have problems"] if others > 0 else []))
