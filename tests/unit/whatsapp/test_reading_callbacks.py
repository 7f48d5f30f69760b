"""Callbacks as the provider sends them: several of everything, with parts unknown to us."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.callbacks import UnreadableCallbackError, read
from services.whatsapp.domain import Status

ID = UUID("0199f3a0-0000-7000-8000-000000000001")


def status(kind: str = "sent", **more: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": kind, "timestamp": "1790000000", "recipient_id": "551199"} | more


def callback(*values: dict[str, Any]) -> bytes:
    changes = [{"field": "messages", "value": value} for value in values]
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "w", "changes": changes}]}
    ).encode()


def value(*statuses: Any, number: str = "123") -> dict[str, Any]:
    return {"metadata": {"phone_number_id": number}, "statuses": list(statuses)}


def test_every_entry_change_and_status_is_read_in_order() -> None:
    one = json.loads(callback(value(status(), status("delivered")), value(status("read"), number="456")))
    one["entry"] *= 2
    reports = read(json.dumps(one).encode())
    assert [(report.phone_number_id, report.status.value) for report in reports] == [
        ("123", "sent"),
        ("123", "delivered"),
        ("456", "read"),
    ] * 2


def test_a_report_carries_our_id_its_time_and_the_code_of_a_failure() -> None:
    failed = status("failed", biz_opaque_callback_data=str(ID), errors=[{"code": 131026, "title": "x"}])
    (report,) = read(callback(value(failed)))
    assert (report.tracker, report.code, report.status) == (ID, 131026, Status.FAILED)
    assert report.at == datetime.fromtimestamp(1790000000, UTC)


def test_played_counts_as_read() -> None:
    (report,) = read(callback(value(status("played"))))
    assert report.status is Status.READ


@pytest.mark.parametrize("tracker", [None, "", "not ours", 7])
def test_an_echo_that_is_not_ours_is_left_out(tracker: Any) -> None:
    (report,) = read(callback(value(status(biz_opaque_callback_data=tracker))))
    assert report.tracker is None


@pytest.mark.parametrize(
    "odd",
    [status("warned"), {"status": "sent"}, "text", None, {"id": 7, "status": "sent"}],
)
def test_a_status_that_is_not_understood_does_not_spoil_the_others(odd: Any) -> None:
    assert len(read(callback(value(odd, status())))) == 1


def test_messages_that_come_in_are_no_reports() -> None:
    assert (
        read(callback({"metadata": {"phone_number_id": "1"}, "messages": [{"id": "x", "type": "text"}]}))
        == []
    )


@pytest.mark.parametrize("stamp", ["soon", None, "99999999999999999999"])
def test_a_time_that_cannot_be_read_becomes_now(stamp: Any) -> None:
    (report,) = read(callback(value(status(timestamp=stamp))))
    assert abs((datetime.now(UTC) - report.at).total_seconds()) < 60


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableCallbackError):
        read(body)


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
def test_no_object_however_odd_makes_reading_fail(document: dict[str, Any]) -> None:
    assert isinstance(read(json.dumps(document).encode()), list)
