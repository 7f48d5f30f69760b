"""Queries of the operations page and of the dashboards, answered by real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from cli.operations_page.log_search import logs_query
from infra.dashboards.grafana import DASHBOARDS
from tests.servers.observability import VictoriaLogs, VictoriaMetrics
from tests.servers.process import wait_until

pytestmark = pytest.mark.contract

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
EXPRESSIONS = sorted(
    {
        query.expression
        for source in DASHBOARDS
        for _, graphs in source.sections
        for graph in graphs
        for query in graph.queries
    }
)


@pytest.fixture(scope="module")
def metrics() -> Iterator[VictoriaMetrics]:
    with VictoriaMetrics() as running:
        yield running


@pytest.fixture(scope="module")
def logs() -> Iterator[VictoriaLogs]:
    with VictoriaLogs() as running:
        common = {"_time": "0", "service": "campaigns-api"}
        entries = [
            {**common, "_msg": "campaign created", "trace_id": TRACE_ID},
            {**common, "_msg": 'said "created" twice'},
            {**common, "_msg": "POST /campaigns", "trace_id": TRACE_ID, "store": "spans"},
        ]
        running.write(*map(json.dumps, entries))
        wait_until("the entries", lambda: len(lines(running, "*")) == len(entries), 30.0)
        yield running


def query(metrics: VictoriaMetrics, expression: str) -> list[dict[str, object]]:
    response = httpx.get(f"{metrics.url}/api/v1/query", params={"query": expression}, timeout=10.0)
    assert response.status_code == 200, response.text
    return list(response.json()["data"]["result"])


def lines(logs: VictoriaLogs, expression: str) -> list[str]:
    response = httpx.get(f"{logs.url}/select/logsql/query", params={"query": expression}, timeout=10.0)
    assert response.status_code == 200, response.text
    return [json.loads(line)["_msg"] for line in response.text.splitlines()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_query_is_valid(metrics: VictoriaMetrics, expression: str) -> None:
    query(metrics, expression)


def test_invalid_query_is_rejected(metrics: VictoriaMetrics) -> None:
    with pytest.raises(AssertionError, match="400"):
        query(metrics, "sum by (")


def test_lines_of_a_trace_without_its_spans(logs: VictoriaLogs) -> None:
    assert lines(logs, logs_query(TRACE_ID)) == ["campaign created"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("campaign created", ["campaign created"]),
        ('said "created"', ['said "created" twice']),
        ("POST", []),
        ('nothing" or _msg:"campaign', []),
        ("nothing\\", []),
    ],
)
def test_lines_with_a_phrase(logs: VictoriaLogs, text: str, expected: list[str]) -> None:
    assert lines(logs, logs_query(text)) == expected
