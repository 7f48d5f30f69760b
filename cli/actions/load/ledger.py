"""After a run: campaigns are followed to their end, and what the provider received is held against them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

from cli.actions import campaign
from infra.errors import EsqError
from loadtests.merge import latency
from loadtests.result import Callbacks, Messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.actions.doors import Doors
    from infra.progress import ProgressStep
    from loadtests.order import Created, Ground

AT_ONCE = 6
"""Campaigns that are looked at at the same time."""
QUARTER = 0.25


@dataclass
class Fate:
    """What became of one campaign's messages.

    Attributes:
        created: the campaign.
        states: messages by state.
        lost: believed sent, and not received.
        receipts: seconds on the monotonic clock, of the first time each was received.
        duplicated: received more than once.
    """

    created: Created
    states: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicated: int = 0
    receipts: list[float] = field(default_factory=list)


def follow(created: Sequence[Created], doors: Doors, seconds: float, step: ProgressStep) -> Messages:
    """Wait until all campaigns have ended, and judge their messages.

    Args:
        created: the campaigns.
        doors: the ways in.
        seconds: to wait at most.
        step: told how far it is.

    Raises:
        EsqError: there are none, or one did not end.
    """
    if not created:
        raise EsqError(
            "no campaign was accepted", location="POST /campaigns", remedy="See the errors in the report."
        )
    ahead = time.time() - time.monotonic()
    fates, enough = [], Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(_fate, each, doors, seconds, ahead, enough) for each in created]
        try:
            for future in as_completed(futures):
                fates.append(future.result())
                step.set_status(campaign.bar(len(fates), len(created)) + " campaigns")
        finally:  # after a failure or Ctrl-C nobody waits for the others
            enough.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return _messages(fates)


def _fate(created: Created, doors: Doors, seconds: float, ahead: float, enough: Event) -> Fate:
    edge, fate = doors.edge(created.company, seconds), Fate(created)

    def told(_: object) -> None:
        if enough.is_set():
            raise CancelledError

    campaign.follow(created.id, edge, told)
    for page in campaign.messages(created.id, edge):
        if not page:
            continue
        states = {str(each["id"]): str(each["state"]) for each in page}
        times = edge.call("POST", "/ledger/times", "ledger:read", body={"ids": list(states)})
        fate.states.update(states.values())
        fate.lost += sum(
            not times[message] for message, state in states.items() if state in campaign.BELIEVED_SENT
        )
        fate.duplicated += sum(len(received) > 1 for received in times.values())
        fate.receipts += [received[0] - ahead for received in times.values() if received]
    fate.receipts.sort()
    return fate


def _messages(fates: Sequence[Fate]) -> Messages:
    states = sum((fate.states for fate in fates), Counter[str]())
    began = min(fate.created.planned for fate in fates)
    ended = max((fate.receipts[-1] for fate in fates if fate.receipts), default=began)
    waits = [at - fate.created.planned for fate in fates for at in fate.receipts]
    return Messages(
        planned=states.total(),
        failed=states["failed"],
        lost=sum(fate.lost for fate in fates),
        duplicated=sum(fate.duplicated for fate in fates),
        uncertain=states[campaign.UNCERTAIN],
        latency=latency(waits),
        seconds=ended - began,
        fairness=_fairness(fates, began, ended),
    )


def _fairness(fates: Sequence[Fate], began: float, ended: float) -> float:
    """Return the longest wait of a company for a quarter of its messages, of a quarter of all the time.

    One after the other, the last company of many waits four times its share; side by side, each waits once.
    """
    received: defaultdict[str, list[float]] = defaultdict(list)
    for fate in fates:
        received[fate.created.company] += fate.receipts
    quarters = [sorted(times)[int(len(times) * QUARTER)] for times in received.values() if times]
    return (max(quarters, default=began) - began) / max(QUARTER * (ended - began), 1e-9)


def await_read(ground: Ground, doors: Doors, seconds: float, step: ProgressStep) -> Callbacks:
    """Wait until every message that was reported as read is known to be.

    Raises:
        EsqError: they are not in time.
    """
    began, edge = time.monotonic(), doors.edge(ground.companies[0], seconds)
    while True:
        counts = edge.call("GET", f"/campaigns/{ground.campaign}", "campaigns:read")["counts"]
        if counts.get("read", 0) >= len(ground.reported):
            return Callbacks(messages=len(ground.reported), behind=time.monotonic() - began)
        if edge.clock() > edge.deadline:
            raise EsqError(
                f"{counts.get('read', 0)} of {len(ground.reported)} messages are known to be read",
                location=ground.campaign,
                remedy="See the lag of the whatsapp worker: callbacks wait.",
            )
        step.set_status(campaign.bar(counts.get("read", 0), len(ground.reported)) + " read")
        edge.sleep(0.1)
