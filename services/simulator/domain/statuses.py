"""Statuses of an accepted message, all drawn when it is accepted.

They are stored with their due times, so that any replica can send them and a restart loses nothing. Their
order is one that the Cloud API allows: `delivered` may be missing before `read`, `failed` comes alone,
statuses may be repeated and out of order.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from services.simulator.domain.graph_api import failure_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random
    from uuid import UUID

    from services.simulator.domain.fault_config import FaultConfig

PRICING = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}


@dataclass(frozen=True)
class ReceivedMessage:
    """A received text message.

    Attributes:
        id: UUIDv7 of this very request; a message that is sent twice has two.
        wamid: id returned to the client.
        phone_number_id: sending number.
        recipient: digits of the recipient's number.
        client_reference: the client's `biz_opaque_callback_data`, None without one.
        received_at: time of acceptance.
    """

    id: UUID
    wamid: str
    phone_number_id: str
    recipient: str
    client_reference: str | None
    received_at: datetime


@dataclass(frozen=True)
class PlannedStatus:
    """A status of one message with its time.

    Attributes:
        after_seconds: time from acceptance to the status.
        status: `sent`, `delivered`, `read` or `failed`.
        code: error code, with `failed` only.
    """

    after_seconds: float
    status: str
    code: int | None = None


class WebhookStatus(NamedTuple):
    """A status as a webhook reports it; it is stored as the list of its values.

    Attributes:
        phone_number_id: sending number.
        wamid: id returned to the client.
        recipient: digits of the recipient's number.
        client_reference: the client's `biz_opaque_callback_data`, if any.
        timestamp: Unix seconds.
        status: `sent`, `delivered`, `read` or `failed`.
        code: error code, with `failed` only.
    """

    phone_number_id: str
    wamid: str
    recipient: str
    client_reference: str | None
    timestamp: int
    status: str
    code: int | None


def draw_statuses(fault_config: FaultConfig, rng: Random) -> list[PlannedStatus]:
    """Draw the statuses of one accepted message, in the order of their occurrence.

    Args:
        fault_config: probabilities and delays.
        rng: source of randomness.

    Returns:
        The statuses with their delays; empty if webhooks are off.
    """
    if not fault_config.webhooks:
        return []
    return _reorder_and_duplicate(_draw_regular(fault_config, rng), fault_config, rng)


def _draw_regular(fault_config: FaultConfig, rng: Random) -> list[PlannedStatus]:
    sent = fault_config.sent.sample_seconds(rng)
    if rng.random() < fault_config.failed_rate:
        return [PlannedStatus(sent, "failed", fault_config.failed_error_code)]
    delivered = sent + fault_config.delivered.sample_seconds(rng)
    statuses = [PlannedStatus(sent, "sent"), PlannedStatus(delivered, "delivered")]
    if rng.random() < fault_config.read_rate:
        if rng.random() < fault_config.skip_delivered_rate:
            statuses.pop()
        statuses.append(PlannedStatus(delivered + fault_config.read.sample_seconds(rng), "read"))
    return statuses


def _reorder_and_duplicate(
    statuses: list[PlannedStatus], fault_config: FaultConfig, rng: Random
) -> list[PlannedStatus]:
    """Swap neighbours and repeat statuses at the configured rates."""
    reordered = list(statuses)
    for index in range(len(reordered) - 1):
        if rng.random() < fault_config.reorder_rate:
            first, second = reordered[index], reordered[index + 1]
            reordered[index] = PlannedStatus(first.after_seconds, second.status, second.code)
            reordered[index + 1] = PlannedStatus(second.after_seconds, first.status, first.code)
    duplicates = [
        PlannedStatus(
            status.after_seconds + fault_config.sent.sample_seconds(rng), status.status, status.code
        )
        for status in reordered
        if rng.random() < fault_config.duplicate_rate
    ]
    return reordered + duplicates


def group_by_second(
    planned: Iterable[tuple[ReceivedMessage, PlannedStatus]],
) -> dict[datetime, list[WebhookStatus]]:
    """Return statuses by the time they are sent at: the end of the second in which they are due."""
    by_second: defaultdict[datetime, list[WebhookStatus]] = defaultdict(list)
    for message, status in planned:
        due = message.received_at.timestamp() + status.after_seconds
        webhook_status = WebhookStatus(
            phone_number_id=message.phone_number_id,
            wamid=message.wamid,
            recipient=message.recipient,
            client_reference=message.client_reference,
            timestamp=int(due),
            status=status.status,
            code=status.code,
        )
        by_second[datetime.fromtimestamp(math.ceil(due), UTC)].append(webhook_status)
    return by_second


def webhook_body(statuses: Iterable[WebhookStatus]) -> str:
    """Return the body of a webhook with these statuses.

    As the provider does, it puts several accounts into one webhook, with an entry for each.
    """
    by_number: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for status in statuses:
        by_number[status.phone_number_id].append(_status_entry(status))
    entries = [_account_entry(number, items) for number, items in by_number.items()]
    return json.dumps({"object": "whatsapp_business_account", "entry": entries}, separators=(",", ":"))


def _account_entry(number: str, statuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number, "phone_number_id": number},
        "statuses": statuses,
    }
    return {"id": f"waba-{number}", "changes": [{"field": "messages", "value": value}]}


def _status_entry(status: WebhookStatus) -> dict[str, Any]:
    """Return the entry of `statuses`; its times are strings of Unix seconds."""
    entry: dict[str, Any] = {
        "id": status.wamid,
        "status": status.status,
        "timestamp": str(status.timestamp),
        "recipient_id": status.recipient,
    }
    if status.client_reference is not None:
        entry["biz_opaque_callback_data"] = status.client_reference
    if status.code is not None:
        entry["errors"] = [failure_entry(status.code)]
    else:
        entry["pricing"] = PRICING
    return entry
