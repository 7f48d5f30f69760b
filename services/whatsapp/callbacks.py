"""Reads a callback of the Cloud API into reports: every entry, every change, every status of it.

What is not understood is skipped and never fails the rest: the raw body stays stored, and new fields appear
there often.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.whatsapp.domain import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUSES = {**{status.value: status for status in Status}, "played": Status.READ}


class UnreadableCallbackError(Exception):
    """The body is no JSON object; it is kept for people to look at and nothing is done with it."""


@dataclass(frozen=True)
class Report:
    """A status of one message.

    Attributes:
        phone_number_id: the number the message was sent from; it names the company.
        provider_id: the wamid.
        tracker: our message id as the provider echoed it, None when it is missing or not ours.
        status: what is reported.
        at: when it happened, by the provider's clock.
        code: error code, with `failed` only.
    """

    phone_number_id: str
    provider_id: str
    tracker: UUID | None
    status: Status
    at: datetime
    code: int | None


def read(body: bytes) -> list[Report]:
    """Return the reports of a callback in the order they are written.

    Raises:
        UnreadableCallbackError: when the body is no JSON object.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise UnreadableCallbackError("the body is no JSON") from error
    if not isinstance(document, dict):
        raise UnreadableCallbackError("the body is no JSON object")
    return list(_reports(document))


def _reports(document: dict[str, Any]) -> Iterator[Report]:
    for entry in _objects(document.get("entry")):
        for change in _objects(entry.get("changes")):
            value = change.get("value")
            if isinstance(value, dict):
                number = str(_object(value.get("metadata")).get("phone_number_id", ""))
                for status in _objects(value.get("statuses")):
                    report = _report(number, status)
                    if report is not None:
                        yield report


def _report(number: str, status: dict[str, Any]) -> Report | None:
    kind = _STATUSES.get(str(status.get("status")))
    provider_id = status.get("id")
    if kind is None or not isinstance(provider_id, str):
        return None
    return Report(
        phone_number_id=number,
        provider_id=provider_id,
        tracker=_tracker(status.get("biz_opaque_callback_data")),
        status=kind,
        at=_moment(status.get("timestamp")),
        code=_code(status) if kind is Status.FAILED else None,
    )


def _tracker(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None


def _moment(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(int(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _code(status: dict[str, Any]) -> int | None:
    for error in _objects(status.get("errors")):
        code = error.get("code")
        if isinstance(code, int):
            return code
    return None


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
