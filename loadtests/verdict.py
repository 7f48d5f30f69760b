"""Rules that decide whether a load test proves anything. They look at everything that was offered. Pure.

A run whose generators did not do as planned says nothing about the platform: none of its values is used. A
run in which the platform did not accept or deliver what was offered is a failure: its values are lower
bounds, which violate an SLO or prove nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.measurements.slo_evaluation import MAX_LATE_FRACTION

if TYPE_CHECKING:
    from loadtests.results import Messages, Requests, WebhookDrain

MIN_ACCEPTED_FRACTION = 0.99
"""Least share of the offered requests that are accepted, and of the planned messages that are received."""
MAX_UNCERTAIN_FRACTION = 0.001
"""Largest share of messages with an unknown outcome: each is a message that may not have been sent."""
TOLERATED_LATE_ARRIVALS = 3
"""Allowed in any case: a share of a small number of arrivals has no meaning."""


def generator_problems(requests: Requests) -> list[str]:
    """Return the reasons why the run says nothing about the platform."""
    problems = []
    if not requests.offered:
        problems.append("no arrival was due")
    if requests.generator_lagged:
        problems.append(
            f"{requests.late} of {requests.offered} arrivals started late, at most "
            f"{requests.max_late_seconds:.2f} s: the generators were too slow"
        )
    if requests.accounted != requests.offered:
        problems.append(f"{requests.offered} arrivals were due, but {requests.accounted} have an outcome")
    errors = requests.generator_errors.items()
    return problems + [f"{count} errors of a generator: {text}" for text, count in errors]


def is_lagging(late: int, offered: int) -> bool:
    """Return whether too many arrivals started late.

    Args:
        late: arrivals that started late.
        offered: all arrivals.
    """
    return late > max(TOLERATED_LATE_ARRIVALS, MAX_LATE_FRACTION * offered)


def platform_failures(
    requests: Requests, messages: Messages | None, webhooks: WebhookDrain | None
) -> list[str]:
    """Return the reasons why the run failed.

    Args:
        requests: requests of the run.
        messages: delivery of the campaigns' messages, if the run verified it.
        webhooks: processing of webhooks, if the run measured it.
    """
    failures = [_share_failure("requests were accepted", requests.accepted, requests.offered)]
    if messages is not None:
        failures.append("" if messages.planned else "no message was planned")
        failures.append(_share_failure("messages were received", messages.received, messages.planned))
        if messages.uncertain > MAX_UNCERTAIN_FRACTION * messages.planned:
            failures.append(
                f"{messages.uncertain} of {messages.planned} messages are uncertain; at most "
                f"{100 * MAX_UNCERTAIN_FRACTION:g} % are allowed"
            )
        failures += messages.problems
    if webhooks is not None and (webhooks.updated < webhooks.messages or not webhooks.messages):
        failures.append(f"{webhooks.updated} of {webhooks.messages} messages have the state of their webhook")
    return [failure for failure in failures if failure]


def _share_failure(outcome: str, count: int, planned: int) -> str:
    """Return the failure when a count is too small a share of what was planned, else an empty text."""
    if count >= MIN_ACCEPTED_FRACTION * planned:
        return ""
    return f"{count} of {planned} {outcome}; at least {100 * MIN_ACCEPTED_FRACTION:g} % are required"
