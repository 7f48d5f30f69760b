"""Requests that the Cloud API accepts and rejects, with its error codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.simulator.domain.message_requests import (
    InvalidRequestError,
    MarkAsReadRequest,
    SendRequest,
    parse_request,
)

TEXT: dict[str, Any] = {
    "messaging_product": "whatsapp",
    "to": "+5511999999999",
    "type": "text",
    "text": {"body": "Hello"},
    "biz_opaque_callback_data": "reference-1",
}


def parsed(**changes: Any) -> SendRequest | MarkAsReadRequest:
    document = {key: value for key, value in (TEXT | changes).items() if value is not ...}
    return parse_request(json.dumps(document).encode())


def test_text_message_is_parsed() -> None:
    request = parsed()
    assert isinstance(request, SendRequest)
    assert (request.to, request.text.body, request.biz_opaque_callback_data) == (
        "+5511999999999",
        "Hello",
        "reference-1",
    )


def test_mark_as_read_is_parsed() -> None:
    document = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
    assert isinstance(parse_request(json.dumps(document).encode()), MarkAsReadRequest)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ...}, 131008),
        ({"text": ...}, 131008),
        ({"messaging_product": ...}, 131008),
        ({"to": "nobody"}, 131009),
        ({"text": {"body": ""}}, 131009),
        ({"text": {"body": "x" * 4097}}, 131009),
        ({"messaging_product": "sms"}, 131009),
        ({"biz_opaque_callback_data": "x" * 513}, 131009),
        ({"type": "image"}, 131051),
    ],
)
def test_invalid_field_is_rejected_with_its_code(changes: dict[str, Any], code: int) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        parsed(**changes)
    assert rejected.value.code == code


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe"])
def test_body_other_than_json_object_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        parse_request(raw)
    assert rejected.value.code == 100
