"""Verification after a load test: waits for the end of all campaigns and reconciles them with the ledger.

Every message that the run offered counts, also those of campaigns that were refused, failed or did not end.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

from cli.actions import send_campaign
from cli.actions.load.delivery import CampaignOutcome, merge_outcomes
from cli.actions.load.provider_clock import find_clock_problem, measure_provider_clock
from cli.platform_client import PlatformUnavailableError
from infra.errors import EsqError
from loadtests.clock_offset import offset_over_run
from loadtests.results import WebhookDrain

if TYPE_CHECKING:
    from cli.actions.load.delivery import OfferedCampaigns
    from cli.actions.platform_access import PlatformAccess
    from cli.platform_client import PlatformClient
    from infra.progress import ProgressStep
    from loadtests.clock_offset import ClockOffset
    from loadtests.protocol import CreatedCampaign, LoadTarget
    from loadtests.results import Messages

MAX_CONCURRENT_CAMPAIGNS = 6
LEDGER_TIMEOUT_SECONDS = 60.0
"""For the messages of one campaign, after its end or after it was waited for in vain."""
READ_POLL_INTERVAL_SECONDS = 0.1


def verify_campaigns(
    offered: OfferedCampaigns,
    access: PlatformAccess,
    clock_before: ClockOffset | None,
    seconds: float,
    step: ProgressStep,
) -> Messages:
    """Wait until all campaigns have ended, and reconcile their messages with the ledger.

    Args:
        offered: the campaigns.
        access: access to the platform.
        clock_before: offset of the provider's clock before the load; None if it is unknown.
        seconds: timeout of all campaigns together in seconds.
        step: progress step.

    Returns:
        The number of messages by outcome and the delays of the campaigns.
    """
    deadline, outcomes, cancelled = time.monotonic() + seconds, [], Event()
    clock_offset, problems = _clock_offset(offered, access, clock_before)
    with ThreadPoolExecutor(MAX_CONCURRENT_CAMPAIGNS) as pool:
        futures = [
            pool.submit(_verify_campaign, campaign, access, deadline, clock_offset, cancelled)
            for campaign in offered.created
        ]
        try:
            for future in as_completed(futures):
                outcomes.append(future.result())
                step.set_status(send_campaign.progress_bar(len(outcomes), len(futures)) + " campaigns")
        finally:  # after Ctrl-C the remaining campaigns are not waited for
            cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
    messages = merge_outcomes(outcomes, offered, time.monotonic())
    return messages.model_copy(update={"problems": (*messages.problems, *problems)})


def _clock_offset(
    offered: OfferedCampaigns, access: PlatformAccess, before: ClockOffset | None
) -> tuple[float, list[str]]:
    """Return the provider's clock minus the monotonic one; a problem if latencies cannot rely on it."""
    if not offered.created:
        return 0.0, []
    offset = offset_over_run(before, measure_provider_clock(access, offered.created[0].company))
    problem = find_clock_problem(offset)
    return offset.seconds if offset else time.time() - time.monotonic(), [problem] if problem else []


def _verify_campaign(
    created: CreatedCampaign, access: PlatformAccess, deadline: float, clock_offset: float, cancelled: Event
) -> CampaignOutcome:
    outcome = CampaignOutcome(created)

    def on_progress(_: object) -> None:
        if cancelled.is_set():
            raise CancelledError

    client = access.client_for(created.company, max(0.0, deadline - time.monotonic()))
    try:
        send_campaign.wait_for_campaign(created.id, client, on_progress)
    except EsqError as error:
        outcome.problem = f"campaign {created.id}: {error.message}"
    try:
        _read_messages(outcome, access.client_for(created.company, LEDGER_TIMEOUT_SECONDS), clock_offset)
    except EsqError as error:
        outcome.problem = f"campaign {created.id}, messages are unknown: {error.message}"
    return outcome


def _read_messages(outcome: CampaignOutcome, client: PlatformClient, clock_offset: float) -> None:
    """Add the states of a campaign's messages and their receipts by the provider to its outcome."""
    for page in send_campaign.iterate_messages(outcome.created.id, client):
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


def wait_for_read_statuses(
    target: LoadTarget, access: PlatformAccess, load_ended_at: float, seconds: float, step: ProgressStep
) -> WebhookDrain:
    """Wait until every message with a read status is in the state `read`, or the time is over.

    Args:
        target: target with the campaign and its sent messages.
        access: access to the platform.
        load_ended_at: end of the load profile on the monotonic clock.
        seconds: timeout in seconds, from now.
        step: progress step.

    Returns:
        The number of messages, and the seconds since the end of the load profile: what was processed while
        the generators ended had to wait as well.
    """
    client = access.client_for(target.companies[0], seconds)
    total, read = len(target.sent_messages), 0
    while True:
        with suppress(PlatformUnavailableError):  # after the deadline
            counts = client.call("GET", f"/campaigns/{target.campaign}", "campaigns:read")["counts"]
            read = int(counts.get("read", 0))
        if read >= total or client.clock() > client.deadline:
            return WebhookDrain(messages=total, updated=read, drain_seconds=time.monotonic() - load_ended_at)
        step.set_status(send_campaign.progress_bar(read, total) + " read")
        client.sleep(READ_POLL_INTERVAL_SECONDS)
