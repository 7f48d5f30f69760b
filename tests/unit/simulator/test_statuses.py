"""Statuses of messages: legal, disturbed at the configured rates, repeatable."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.kit.ids import uuid7
from services.simulator.domain.fault_config import FaultConfig
from services.simulator.domain.graph_api import accepted_response, error_response, make_wamid
from services.simulator.domain.statuses import (
    PlannedStatus,
    ReceivedMessage,
    WebhookStatus,
    draw_statuses,
    group_by_second,
    webhook_body,
)

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
LEGAL = {("sent", "delivered"), ("sent", "delivered", "read"), ("sent", "read"), ("failed",)}
WITHOUT_FAULTS = FaultConfig(duplicate_rate=0, reorder_rate=0, failed_rate=0.2, skip_delivered_rate=0.3)
ONLY_DELIVERED = {"failed_rate": 0, "read_rate": 0}


def received_message(client_reference: str | None = "reference-1") -> ReceivedMessage:
    return ReceivedMessage(uuid7(), "wamid.1", "123", "5511999999999", client_reference, MIDNIGHT)


@given(st.integers())
def test_statuses_have_a_legal_order_and_increasing_times(seed: int) -> None:
    statuses = draw_statuses(WITHOUT_FAULTS, Random(seed))
    assert tuple(status.status for status in statuses) in LEGAL
    times = [status.after_seconds for status in statuses]
    assert times == sorted(times)


def test_same_seed_draws_same_statuses() -> None:
    first, second = Random(5), Random(5)
    assert [draw_statuses(FaultConfig(), first) for _ in range(50)] == [
        draw_statuses(FaultConfig(), second) for _ in range(50)
    ]


def test_duplicates_and_reordering_follow_their_rates() -> None:
    duplicating = WITHOUT_FAULTS.model_copy(update={"duplicate_rate": 1, **ONLY_DELIVERED})
    duplicated = draw_statuses(duplicating, Random(1))
    assert sorted(status.status for status in duplicated) == ["delivered", "delivered", "sent", "sent"]
    reordering = WITHOUT_FAULTS.model_copy(update={"reorder_rate": 1, **ONLY_DELIVERED})
    reordered = draw_statuses(reordering, Random(1))
    by_time = sorted(reordered, key=lambda status: status.after_seconds)
    assert [status.status for status in by_time] == ["delivered", "sent"]


def test_no_statuses_without_webhooks() -> None:
    assert draw_statuses(FaultConfig(webhooks=False), Random(1)) == []


def webhook_statuses(
    *statuses: PlannedStatus, client_reference: str | None = "reference-1"
) -> list[WebhookStatus]:
    planned = [(received_message(client_reference), status) for status in statuses]
    return [status for group in group_by_second(planned).values() for status in group]


def entries(statuses: list[WebhookStatus]) -> dict[str, list[dict[str, Any]]]:
    """Return the statuses of a webhook by phone number id."""
    values = [entry["changes"][0]["value"] for entry in json.loads(webhook_body(statuses))["entry"]]
    return {value["metadata"]["phone_number_id"]: value["statuses"] for value in values}


def test_statuses_of_one_second_are_due_at_its_end() -> None:
    planned = [(received_message(), PlannedStatus(after, "sent")) for after in (0.2, 1.0, 1.1, 0.9)]
    second = timedelta(seconds=1)
    assert {due_at - MIDNIGHT: len(statuses) for due_at, statuses in group_by_second(planned).items()} == {
        second: 3,
        2 * second: 1,
    }


def test_status_survives_storage_as_list() -> None:
    statuses = webhook_statuses(PlannedStatus(2.0, "failed", 131026))
    assert [WebhookStatus(*values) for values in json.loads(json.dumps(statuses))] == statuses


def test_status_entry_echoes_client_reference_and_has_times_as_text() -> None:
    [entry] = entries(webhook_statuses(PlannedStatus(2.0, "sent")))["123"]
    assert (entry["id"], entry["status"], entry["biz_opaque_callback_data"]) == (
        "wamid.1",
        "sent",
        "reference-1",
    )
    assert entry["timestamp"] == str(int(MIDNIGHT.timestamp()) + 2)
    assert "errors" not in entry


def test_failure_has_its_code_and_missing_client_reference_is_left_out() -> None:
    failed = PlannedStatus(1.0, "failed", 131026)
    [entry] = entries(webhook_statuses(failed, client_reference=None))["123"]
    assert "biz_opaque_callback_data" not in entry
    assert entry["errors"][0]["code"] == 131026


def test_webhook_has_one_entry_per_number() -> None:
    [first] = webhook_statuses(PlannedStatus(1.0, "sent"))
    second = first._replace(phone_number_id="456")
    counts = {number: len(statuses) for number, statuses in entries([first, second, first]).items()}
    assert counts == {"123": 2, "456": 1}
    changes = [entry["changes"] for entry in json.loads(webhook_body([first, second]))["entry"]]
    assert [[change["field"] for change in group] for group in changes] == [["messages"], ["messages"]]


def test_errors_have_the_form_of_the_graph_api() -> None:
    status, body = error_response(130429)
    assert status == 429
    assert body["error"]["message"] == "(#130429) Rate limit hit"
    assert {"code", "type", "error_data", "fbtrace_id"} <= body["error"].keys()
    assert error_response(999999)[0] == 400


def test_accepted_response_has_both_forms_of_the_recipient() -> None:
    body = accepted_response("+5511999999999", make_wamid(uuid7()))
    assert body["contacts"] == [{"input": "+5511999999999", "wa_id": "5511999999999"}]
    assert body["messages"][0]["id"].startswith("wamid.")
