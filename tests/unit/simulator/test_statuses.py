"""The fates of messages: legal by themselves, disturbed as often as asked for, and repeatable."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.kit.ids import uuid7
from services.simulator.behaviour import Behaviour
from services.simulator.graph import accepted, error_of, wamid_of
from services.simulator.statuses import Report, Send, envelope, plan, status_entry

LEGAL = {("sent", "delivered"), ("sent", "delivered", "read"), ("sent", "read"), ("failed",)}
CALM = Behaviour(duplicate_rate=0, reorder_rate=0, failed_rate=0.2, skip_delivered_rate=0.3)


def send(tracker: str | None = "ours") -> Send:
    return Send(uuid7(), "wamid.1", "123", "5511999999999", tracker, datetime(2026, 11, 24, tzinfo=UTC))


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


def test_an_entry_echoes_our_id_and_tells_times_as_text() -> None:
    entry = status_entry(send(), Report(2.0, "sent"))
    assert (entry["id"], entry["status"], entry["biz_opaque_callback_data"]) == ("wamid.1", "sent", "ours")
    assert entry["timestamp"] == str(int(datetime(2026, 11, 24, 0, 0, 2, tzinfo=UTC).timestamp()))
    assert "errors" not in entry


def test_a_message_without_our_id_echoes_none_and_a_failure_tells_its_code() -> None:
    entry = status_entry(send(tracker=None), Report(1.0, "failed", 131026))
    assert "biz_opaque_callback_data" not in entry
    assert entry["errors"][0]["code"] == 131026


def test_the_envelope_has_an_entry_for_each_number() -> None:
    document = json.loads(envelope({"123": ['{"id":"x"}', '{"id":"y"}'], "456": ['{"id":"z"}']}))
    changes = [change for entry in document["entry"] for change in entry["changes"]]
    assert {change["field"] for change in changes} == {"messages"}
    told = {change["value"]["metadata"]["phone_number_id"]: change["value"]["statuses"] for change in changes}
    assert told == {"123": [{"id": "x"}, {"id": "y"}], "456": [{"id": "z"}]}


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
