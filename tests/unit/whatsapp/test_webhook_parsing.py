"""Parsing of webhooks as the provider sends them: several entries, changes and statuses, unknown parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.domain.message_states import DeliveryStatus
from services.whatsapp.domain.webhooks import MalformedWebhookError, parse_webhook

ID = UUID("0199f3a0-0000-7000-8000-000000000001")


def status(kind: str = "sent", **more: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": kind, "timestamp": "1790000000", "recipient_id": "551199"} | more


def webhook(*values: dict[str, Any]) -> bytes:
    changes = [{"field": "messages", "value": value} for value in values]
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "w", "changes": changes}]}
    ).encode()


def change_value(*statuses: Any, number: str = "123") -> dict[str, Any]:
    return {"metadata": {"phone_number_id": number}, "statuses": list(statuses)}


def test_every_entry_change_and_status_is_parsed_in_order() -> None:
    body = webhook(change_value(status(), status("delivered")), change_value(status("read"), number="456"))
    document = json.loads(body)
    document["entry"] *= 2
    statuses = parse_webhook(json.dumps(document).encode())
    assert [(parsed.phone_number_id, parsed.status.value) for parsed in statuses] == [
        ("123", "sent"),
        ("123", "delivered"),
        ("456", "read"),
    ] * 2


def test_status_has_client_reference_time_and_error_code() -> None:
    failed = status("failed", biz_opaque_callback_data=str(ID), errors=[{"code": 131026, "title": "x"}])
    (parsed,) = parse_webhook(webhook(change_value(failed)))
    assert (parsed.client_reference, parsed.code, parsed.status) == (ID, 131026, DeliveryStatus.FAILED)
    assert parsed.occurred_at == datetime.fromtimestamp(1790000000, UTC)


def test_played_counts_as_read() -> None:
    (parsed,) = parse_webhook(webhook(change_value(status("played"))))
    assert parsed.status is DeliveryStatus.READ


@pytest.mark.parametrize("reference", [None, "", "not a UUID", 7])
def test_foreign_client_reference_is_left_out(reference: Any) -> None:
    (parsed,) = parse_webhook(webhook(change_value(status(biz_opaque_callback_data=reference))))
    assert parsed.client_reference is None


@pytest.mark.parametrize(
    "unknown",
    [status("warned"), {"status": "sent"}, "text", None, {"id": 7, "status": "sent"}],
)
def test_unknown_status_is_skipped(unknown: Any) -> None:
    assert len(parse_webhook(webhook(change_value(unknown, status())))) == 1


def test_incoming_messages_are_no_statuses() -> None:
    incoming = {"metadata": {"phone_number_id": "1"}, "messages": [{"id": "x", "type": "text"}]}
    assert parse_webhook(webhook(incoming)) == []


@pytest.mark.parametrize("timestamp", ["soon", None, "99999999999999999999"])
def test_unreadable_timestamp_becomes_current_time(timestamp: Any) -> None:
    (parsed,) = parse_webhook(webhook(change_value(status(timestamp=timestamp))))
    assert abs((datetime.now(UTC) - parsed.occurred_at).total_seconds()) < 60


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_body_other_than_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        parse_webhook(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["entry", "changes", "value", "statuses", "metadata", "status", "id", "errors"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["entry", "object"]), JSON))
def test_any_json_object_is_parsed_without_error(document: dict[str, Any]) -> None:
    assert isinstance(parse_webhook(json.dumps(document).encode()), list)
