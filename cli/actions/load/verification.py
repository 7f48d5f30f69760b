"""Verification after a load test: waits for the end of all campaigns and reconciles them with the ledger."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from cli.actions import send_campaign
from infra.errors import EsqError
from loadtests.merge import latency_from_samples
from loadtests.results import Messages, WebhookDrain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.platform_access import PlatformAccess
    from infra.progress import ProgressStep
    from loadtests.protocol import CreatedCampaign, LoadTarget

MAX_CONCURRENT_CAMPAIGNS = 6
FAIRNESS_QUANTILE = 0.25
READ_POLL_INTERVAL_SECONDS = 0.1


@dataclass
class CampaignOutcome:
    """Outcome of one campaign's messages.

    Attributes:
        created: the campaign.
        states: messages by state.
        lost: messages that were recorded as sent, but not received.
        duplicated: messages that were received more than once.
        receipts: first receipt of each message, seconds on the monotonic clock.
    """

    created: CreatedCampaign
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicated: int = 0
    receipts: list[float] = field(default_factory=list)


def verify_campaigns(
    created: Sequence[CreatedCampaign], access: PlatformAccess, seconds: float, step: ProgressStep
) -> Messages:
    """Wait until all campaigns have ended, and reconcile their messages with the ledger.

    Args:
        created: the campaigns.
        access: access to the platform.
        seconds: timeout in seconds.
        step: progress step.

    Returns:
        The number of messages by outcome and the delays of the campaigns.

    Raises:
        EsqError: there are no campaigns, or a campaign failed or did not end in time.
    """
    if not created:
        raise EsqError(
            "no campaign was accepted", location="POST /campaigns", remedy="See the errors in the report."
        )
    clock_offset = time.time() - time.monotonic()
    outcomes, cancelled = [], Event()
    with ThreadPoolExecutor(MAX_CONCURRENT_CAMPAIGNS) as pool:
        futures = [
            pool.submit(_verify_campaign, campaign, access, seconds, clock_offset, cancelled)
            for campaign in created
        ]
        try:
            for future in as_completed(futures):
                outcomes.append(future.result())
                step.set_status(send_campaign.progress_bar(len(outcomes), len(created)) + " campaigns")
        finally:  # after a failure or Ctrl-C the remaining campaigns are not waited for
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return _merge_outcomes(outcomes)


def _verify_campaign(
    created: CreatedCampaign, access: PlatformAccess, seconds: float, clock_offset: float, cancelled: Event
) -> CampaignOutcome:
    client, outcome = access.client_for(created.company, seconds), CampaignOutcome(created)

    def on_progress(_: object) -> None:
        if cancelled.is_set():
            raise CancelledError

    send_campaign.wait_for_campaign(created.id, client, on_progress)
    for page in send_campaign.iterate_messages(created.id, client):
        if not page:
            continue
        states = {str(message["id"]): str(message["state"]) for message in page}
        receipts = client.call("POST", "/ledger/times", "ledger:read", body={"ids": list(states)})
        outcome.states.update(states.values())
        outcome.lost += sum(
            not receipts[message]
            for message, state in states.items()
            if state in send_campaign.EXPECTED_SENT_STATES
        )
        outcome.duplicated += sum(len(times) > 1 for times in receipts.values())
        outcome.receipts += [times[0] - clock_offset for times in receipts.values() if times]
    outcome.receipts.sort()
    return outcome


def _merge_outcomes(outcomes: Sequence[CampaignOutcome]) -> Messages:
    states = sum((outcome.states for outcome in outcomes), Counter[str]())
    started = min(outcome.created.due_at for outcome in outcomes)
    ended = max((outcome.receipts[-1] for outcome in outcomes if outcome.receipts), default=started)
    latencies = [at - outcome.created.due_at for outcome in outcomes for at in outcome.receipts]
    return Messages(
        planned=states.total(),
        failed=states["failed"],
        lost=sum(outcome.lost for outcome in outcomes),
        duplicated=sum(outcome.duplicated for outcome in outcomes),
        uncertain=states[send_campaign.UNCERTAIN],
        latency=latency_from_samples(latencies),
        duration_seconds=ended - started,
        fairness=_fairness(outcomes, started, ended),
    )


def _fairness(outcomes: Sequence[CampaignOutcome], started: float, ended: float) -> float:
    """Return a company's longest time until a quarter of its receipts, by a quarter of the duration.

    Sequential service gives the last company of many a value near 4; concurrent service gives 1 to each.
    """
    received: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        received[outcome.created.company] += outcome.receipts
    quantiles = [sorted(times)[int(len(times) * FAIRNESS_QUANTILE)] for times in received.values() if times]
    return (max(quantiles, default=started) - started) / max(FAIRNESS_QUANTILE * (ended - started), 1e-9)


def wait_for_read_statuses(
    target: LoadTarget, access: PlatformAccess, seconds: float, step: ProgressStep
) -> WebhookDrain:
    """Wait until every message with a read status is in the state `read`.

    Args:
        target: target with the campaign and its sent messages.
        access: access to the platform.
        seconds: timeout in seconds.
        step: progress step.

    Returns:
        The number of messages and the time in seconds that this took.

    Raises:
        EsqError: some messages are not in this state at the timeout.
    """
    started, client = time.monotonic(), access.client_for(target.companies[0], seconds)
    total = len(target.sent_messages)
    while True:
        counts = client.call("GET", f"/campaigns/{target.campaign}", "campaigns:read")["counts"]
        read = counts.get("read", 0)
        if read >= total:
            return WebhookDrain(messages=total, drain_seconds=time.monotonic() - started)
        if client.clock() > client.deadline:
            raise EsqError(
                f"{read} of {total} messages are in the state `read`",
                location=target.campaign,
                remedy="Check the consumer lag of the whatsapp worker.",
            )
        step.set_status(send_campaign.progress_bar(read, total) + " read")
        client.sleep(READ_POLL_INTERVAL_SECONDS)
