"""The fates of messages: legal by themselves, disturbed as often as asked for, and repeatable."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.kit.ids import uuid7
from services.simulator.behaviour import Behaviour
from services.simulator.graph import accepted, error_of, wamid_of
from services.simulator.statuses import Report, Send, Status, by_moment, envelope, plan

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
LEGAL = {("sent", "delivered"), ("sent", "delivered", "read"), ("sent", "read"), ("failed",)}
CALM = Behaviour(duplicate_rate=0, reorder_rate=0, failed_rate=0.2, skip_delivered_rate=0.3)


def send(tracker: str | None = "ours") -> Send:
    return Send(uuid7(), "wamid.1", "123", "5511999999999", tracker, MIDNIGHT)


@given(st.integers())
def test_a_fate_has_a_legal_order_and_times_that_grow(seed: int) -> None:
    reports = plan(CALM, Random(seed))
    assert tuple(report.status for report in reports) in LEGAL
    assert [report.after for report in reports] == sorted(report.after for report in reports)


def test_the_same_seed_draws_the_same_fates() -> None:
    one, other = Random(5), Random(5)
    assert [plan(Behaviour(), one) for _ in range(50)] == [plan(Behaviour(), other) for _ in range(50)]


def test_duplicates_and_reordering_happen_when_asked_for() -> None:
    doubled = plan(CALM.model_copy(update={"duplicate_rate": 1, "failed_rate": 0, "read_rate": 0}), Random(1))
    assert sorted(report.status for report in doubled) == ["delivered", "delivered", "sent", "sent"]
    turned = plan(CALM.model_copy(update={"reorder_rate": 1, "failed_rate": 0, "read_rate": 0}), Random(1))
    assert [report.status for report in sorted(turned, key=lambda report: report.after)] == [
        "delivered",
        "sent",
    ]


def test_no_callbacks_means_no_reports() -> None:
    assert plan(Behaviour(callbacks=False), Random(1)) == []


def told(*reports: Report, tracker: str | None = "ours") -> list[Status]:
    planned = [(send(tracker), report) for report in reports]
    return [status for statuses in by_moment(planned).values() for status in statuses]


def entries(statuses: list[Status]) -> dict[str, list[dict[str, Any]]]:
    """What a callback tells, by phone number id."""
    values = [entry["changes"][0]["value"] for entry in json.loads(envelope(statuses))["entry"]]
    return {value["metadata"]["phone_number_id"]: value["statuses"] for value in values}


def test_what_is_due_in_the_same_second_is_told_at_its_end() -> None:
    planned = [(send(), Report(after, "sent")) for after in (0.2, 1.0, 1.1, 0.9)]
    second = timedelta(seconds=1)
    assert {moment - MIDNIGHT: len(statuses) for moment, statuses in by_moment(planned).items()} == {
        second: 3,
        2 * second: 1,
    }


def test_a_status_is_kept_as_a_list() -> None:
    statuses = told(Report(2.0, "failed", 131026))
    assert [Status(*values) for values in json.loads(json.dumps(statuses))] == statuses


def test_an_entry_echoes_our_id_and_tells_times_as_text() -> None:
    [entry] = entries(told(Report(2.0, "sent")))["123"]
    assert (entry["id"], entry["status"], entry["biz_opaque_callback_data"]) == ("wamid.1", "sent", "ours")
    assert entry["timestamp"] == str(int(MIDNIGHT.timestamp()) + 2)
    assert "errors" not in entry


def test_a_message_without_our_id_echoes_none_and_a_failure_tells_its_code() -> None:
    [entry] = entries(told(Report(1.0, "failed", 131026), tracker=None))["123"]
    assert "biz_opaque_callback_data" not in entry
    assert entry["errors"][0]["code"] == 131026


def test_the_envelope_has_an_entry_for_each_number() -> None:
    [one] = told(Report(1.0, "sent"))
    other = one._replace(number="456")
    assert {number: len(told) for number, told in entries([one, other, one]).items()} == {"123": 2, "456": 1}
    changes = [entry["changes"] for entry in json.loads(envelope([one, other]))["entry"]]
    assert [[change["field"] for change in each] for each in changes] == [["messages"], ["messages"]]


def test_errors_have_the_shape_of_the_graph_api() -> None:
    status, body = error_of(130429)
    assert status == 429
    assert body["error"]["message"] == "(#130429) Rate limit hit"
    assert {"code", "type", "error_data", "fbtrace_id"} <= body["error"].keys()
    assert error_of(999999)[0] == 400


def test_an_accepted_send_tells_both_forms_of_the_recipient() -> None:
    body = accepted("+5511999999999", wamid_of(uuid7()))
    assert body["contacts"] == [{"input": "+5511999999999", "wa_id": "5511999999999"}]
    assert body["messages"][0]["id"].startswith("wamid.")
