"""Parser of Cloud API webhooks: returns every status of every change of every entry.

Parts of unknown form are skipped and never fail the rest: the raw body stays stored, and the provider adds
fields often.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.whatsapp.domain.message_states import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS_BY_NAME = {
    **{status.value: status for status in DeliveryStatus},
    "played": DeliveryStatus.READ,
}


class MalformedWebhookError(Exception):
    """The body is not a JSON object. It stays stored for inspection and is not processed."""


@dataclass(frozen=True)
class PendingWebhook:
    """A stored webhook that is not processed.

    Attributes:
        id: its id.
        body: its body as received.
        traceparent: trace of the request that brought it.
    """

    id: int
    body: bytes
    traceparent: str


@dataclass(frozen=True)
class WebhookStatus:
    """Status of one message.

    Attributes:
        phone_number_id: the sending number; it identifies the company.
        provider_id: the wamid.
        client_reference: our message id as the provider echoes it; None when it is missing or not a UUID.
        status: reported status.
        occurred_at: time by the provider's clock.
        code: error code, with `failed` only.
    """

    phone_number_id: str
    provider_id: str
    client_reference: UUID | None
    status: DeliveryStatus
    occurred_at: datetime
    code: int | None


def parse_webhook(body: bytes) -> list[WebhookStatus]:
    """Return the statuses of a webhook in the order of the body.

    Raises:
        MalformedWebhookError: the body is not a JSON object.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise MalformedWebhookError("the body is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedWebhookError("the body is not a JSON object")
    return list(_statuses(document))


def _statuses(document: dict[str, Any]) -> Iterator[WebhookStatus]:
    for entry in _objects(document.get("entry")):
        for change in _objects(entry.get("changes")):
            value = change.get("value")
            if isinstance(value, dict):
                number = str(_object(value.get("metadata")).get("phone_number_id", ""))
                for item in _objects(value.get("statuses")):
                    status = _parse_status(number, item)
                    if status is not None:
                        yield status


def _parse_status(number: str, item: dict[str, Any]) -> WebhookStatus | None:
    status = _STATUS_BY_NAME.get(str(item.get("status")))
    provider_id = item.get("id")
    if status is None or not isinstance(provider_id, str):
        return None
    return WebhookStatus(
        phone_number_id=number,
        provider_id=provider_id,
        client_reference=_parse_reference(item.get("biz_opaque_callback_data")),
        status=status,
        occurred_at=_parse_timestamp(item.get("timestamp")),
        code=_parse_error_code(item) if status is DeliveryStatus.FAILED else None,
    )


def _parse_reference(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None


def _parse_timestamp(value: object) -> datetime:
    """Return the time; the current time when the value is unreadable."""
    try:
        return datetime.fromtimestamp(int(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _parse_error_code(item: dict[str, Any]) -> int | None:
    for error in _objects(item.get("errors")):
        code = error.get("code")
        if isinstance(code, int):
            return code
    return None


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
