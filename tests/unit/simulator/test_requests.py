"""What the Cloud API face takes and refuses, with the codes of the real one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.simulator.requests import ReadMark, RefusedRequestError, SendRequest, parse

TEXT: dict[str, Any] = {
    "messaging_product": "whatsapp",
    "to": "+5511999999999",
    "type": "text",
    "text": {"body": "Hello"},
    "biz_opaque_callback_data": "ours",
}


def parsed(**changes: Any) -> SendRequest | ReadMark:
    document = {key: value for key, value in (TEXT | changes).items() if value is not ...}
    return parse(json.dumps(document).encode())


def test_a_text_message_is_taken() -> None:
    wanted = parsed()
    assert isinstance(wanted, SendRequest)
    assert (wanted.to, wanted.text.body, wanted.biz_opaque_callback_data) == (
        "+5511999999999",
        "Hello",
        "ours",
    )


def test_a_read_mark_is_taken() -> None:
    document = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
    assert isinstance(parse(json.dumps(document).encode()), ReadMark)


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
def test_a_fault_is_refused_with_its_code(changes: dict[str, Any], code: int) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        parsed(**changes)
    assert refused.value.code == code


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe"])
def test_what_is_no_object_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        parse(raw)
    assert refused.value.code == 100
