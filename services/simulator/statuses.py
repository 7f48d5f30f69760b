"""What becomes of an accepted message, decided at the moment of its acceptance.

The whole fate is drawn at once and stored as rows with a due time, so that any replica can report it and a
restart forgets nothing. The legal orders are those of the Cloud API: `delivered` may be missing before
`read`, `failed` comes alone, reports may come twice and out of order.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from services.simulator.graph import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random
    from uuid import UUID

    from services.simulator.behaviour import Behaviour

PRICING = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}


@dataclass(frozen=True)
class Send:
    """A text message as the Cloud API face received it.

    Attributes:
        id: UUIDv7 of this very request; a message that is sent twice has two.
        wamid: the id given to the sender.
        phone_number_id: the number it was sent from.
        recipient: digits it was sent to.
        tracker: the sender's `biz_opaque_callback_data`, None when it gave none.
        received_at: the moment of acceptance.
    """

    id: UUID
    wamid: str
    phone_number_id: str
    recipient: str
    tracker: str | None
    received_at: datetime


@dataclass(frozen=True)
class Report:
    """A status of one message, to be reported at a time.

    Attributes:
        after: seconds from acceptance to the report.
        status: `sent`, `delivered`, `read` or `failed`.
        code: error code, with `failed` only.
    """

    after: float
    status: str
    code: int | None = None


def plan(behaviour: Behaviour, rng: Random) -> list[Report]:
    """Draw the reports of one accepted message, in the order they happen."""
    if not behaviour.callbacks:
        return []
    happened = _fate(behaviour, rng)
    return _disturbed(happened, behaviour, rng)


def _fate(behaviour: Behaviour, rng: Random) -> list[Report]:
    sent = behaviour.sent.seconds(rng)
    if rng.random() < behaviour.failed_rate:
        return [Report(sent, "failed", behaviour.failed_code)]
    delivered = sent + behaviour.delivered.seconds(rng)
    reports = [Report(sent, "sent"), Report(delivered, "delivered")]
    if rng.random() < behaviour.read_rate:
        if rng.random() < behaviour.skip_delivered_rate:
            reports.pop()
        reports.append(Report(delivered + behaviour.read.seconds(rng), "read"))
    return reports


def _disturbed(reports: list[Report], behaviour: Behaviour, rng: Random) -> list[Report]:
    """Swap neighbours and repeat reports as often as the behaviour says."""
    disturbed = list(reports)
    for place in range(len(disturbed) - 1):
        if rng.random() < behaviour.reorder_rate:
            early, late = disturbed[place], disturbed[place + 1]
            disturbed[place] = Report(early.after, late.status, late.code)
            disturbed[place + 1] = Report(late.after, early.status, early.code)
    again = [
        Report(report.after + behaviour.sent.seconds(rng), report.status, report.code)
        for report in disturbed
        if rng.random() < behaviour.duplicate_rate
    ]
    return disturbed + again


class Status(NamedTuple):
    """What is told of one message at one time; a list of its values is how it is kept.

    Attributes:
        number: the phone number id it was sent from.
        wamid: the id given to the sender.
        recipient: digits it was sent to.
        tracker: the sender's `biz_opaque_callback_data`, if it gave one.
        timestamp: unix seconds.
        status: `sent`, `delivered`, `read` or `failed`.
        code: error code, with `failed` only.
    """

    number: str
    wamid: str
    recipient: str
    tracker: str | None
    timestamp: int
    status: str
    code: int | None


def by_moment(planned: Iterable[tuple[Send, Report]]) -> dict[datetime, list[Status]]:
    """Return what is to be told, by the moment at which it is: the end of the second in which it is due."""
    moments: defaultdict[datetime, list[Status]] = defaultdict(list)
    for send, report in planned:
        due = send.received_at.timestamp() + report.after
        status = Status(
            number=send.phone_number_id,
            wamid=send.wamid,
            recipient=send.recipient,
            tracker=send.tracker,
            timestamp=int(due),
            status=report.status,
            code=report.code,
        )
        moments[datetime.fromtimestamp(math.ceil(due), UTC)].append(status)
    return moments


def envelope(statuses: Iterable[Status]) -> str:
    """Return the body of a callback that tells them.

    The provider puts what it has to tell of several accounts into one callback, an entry for each.
    """
    by_number: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for status in statuses:
        by_number[status.number].append(_told(status))
    entries = [_entry(number, told) for number, told in by_number.items()]
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}, separators=(",", ":"))


def _entry(number: str, told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number, "phone_number_id": number},
        "statuses": told,
    }
    return {"id": f"waba-{number}", "changes": [{"field": "messages", "value": value}]}


def _told(status: Status) -> dict[str, Any]:
    """Return the entry of `statuses`; its times are strings of unix seconds."""
    told: dict[str, Any] = {
        "id": status.wamid,
        "status": status.status,
        "timestamp": str(status.timestamp),
        "recipient_id": status.recipient,
    }
    if status.tracker is not None:
        told["biz_opaque_callback_data"] = status.tracker
    if status.code is not None:
        told["errors"] = [failure_of(status.code)]
    else:
        told["pricing"] = PRICING
    return told
