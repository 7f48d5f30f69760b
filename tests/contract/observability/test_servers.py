"""The servers of the observability layer work together: a sample becomes a page, a log entry is found."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.servers.observability import Alertmanager, VictoriaLogs, VictoriaMetrics, Vmalert
from tests.servers.process import wait_until

pytestmark = pytest.mark.contract

TIMEOUT_SECONDS = 30.0
ALERTMANAGER = "route: {receiver: none}\nreceivers: [{name: none}]\n"
RULES = """
groups:
- name: test
  rules:
  - alert: PostgresDown
    expr: esq_test_up == 0
    labels: {severity: page}
"""


@pytest.fixture
def firing() -> list[dict[str, str]]:
    """Labels of the alerts that Alertmanager received."""
    with (
        VictoriaMetrics() as metrics,
        Alertmanager(ALERTMANAGER) as alertmanager,
        Vmalert(RULES, metrics, alertmanager),
    ):
        metrics.write('esq_test_up{zone="zone-a"} 0')

        def alerts() -> list[dict[str, str]]:
            response = httpx.get(f"{alertmanager.url}/api/v2/alerts", timeout=5.0)
            return [alert["labels"] for alert in response.json()]

        wait_until("an alert", lambda: bool(alerts()), TIMEOUT_SECONDS)
        return alerts()


def test_sample_becomes_an_alert(firing: list[dict[str, str]]) -> None:
    assert [(labels["alertname"], labels["severity"], labels["zone"]) for labels in firing] == [
        ("PostgresDown", "page", "zone-a")
    ]


def test_log_entry_is_found_by_trace_id() -> None:
    with VictoriaLogs() as logs:
        entry = {"_msg": "sent", "_time": "0", "service": "whatsapp", "trace_id": "4bf92f35"}
        logs.write(json.dumps(entry), json.dumps({**entry, "trace_id": "other"}))
        response = httpx.get(
            f"{logs.url}/select/logsql/query", params={"query": "trace_id:=4bf92f35"}, timeout=10.0
        )
        rows = [json.loads(line) for line in response.text.splitlines()]
    assert [(row["_msg"], row["trace_id"]) for row in rows] == [("sent", "4bf92f35")]
