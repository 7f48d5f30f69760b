"""What becomes of an accepted message, decided at the moment of its acceptance.

The whole fate is drawn at once and stored as rows with a due time, so that any replica can report it and a
restart forgets nothing. The legal orders are those of the Cloud API: `delivered` may be missing before
`read`, `failed` comes alone, reports may come twice and out of order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.simulator.graph import failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from random import Random
    from uuid import UUID

    from services.simulator.behaviour import Behaviour


_HERE = "-statuses-"
"""Stands where they will."""


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


def status_entry(send: Send, report: Report) -> dict[str, Any]:
    """Return the entry of `statuses` that tells `report`; its times are strings of unix seconds."""
    entry: dict[str, Any] = {
        "id": send.wamid,
        "status": report.status,
        "timestamp": str(int(send.received_at.timestamp() + report.after)),
        "recipient_id": send.recipient,
    }
    if send.tracker is not None:
        entry["biz_opaque_callback_data"] = send.tracker
    if report.code is not None:
        entry["errors"] = [failure_of(report.code)]
    else:
        entry["pricing"] = {
            "billable": True,
            "pricing_model": "PMP",
            "type": "regular",
            "category": "marketing",
        }
    return entry


def envelope(statuses: Mapping[str, Sequence[str]]) -> str:
    """Return the body of a callback that reports statuses, each as JSON already, by phone number id.

    The provider puts what it has to tell of several accounts into one callback, an entry for each.
    """
    entries = ",".join(_entry(number, reports) for number, reports in statuses.items())
    return f'{{"object":"whatsapp_business_account","entry":[{entries}]}}'


def _entry(phone_number_id: str, statuses: Sequence[str]) -> str:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": phone_number_id, "phone_number_id": phone_number_id},
        "statuses": _HERE,
    }
    entry = {"id": f"waba-{phone_number_id}", "changes": [{"field": "messages", "value": value}]}
    return json.dumps(entry, separators=(",", ":")).replace(f'"{_HERE}"', f"[{','.join(statuses)}]")
