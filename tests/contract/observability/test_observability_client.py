"""The client reaches every part of the layer through the API server's proxy and the gateway."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from cli.actions import observability_status
from cli.observability_client import LayerUnavailableError, ObservabilityClient, QueryError
from infra.components import observability
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.contract.observability.conftest import Layer
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

TIMEOUT_SECONDS = 30.0
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_layer_that_is_not_deployed_is_unavailable(server: ApiServer) -> None:
    """This test comes first: the fixture `layer` deploys."""
    client = ObservabilityClient(server.kubeconfig)
    assert not client.is_deployed()
    assert observability_status.collect(server.kubeconfig) is None
    with pytest.raises(LayerUnavailableError, match="not deployed"):
        client.metrics_query("up")


def test_samples_of_a_query(layer: Layer) -> None:
    layer.metrics.write('esq_test_size{zone="a"} 1', 'esq_test_size{zone="b"} 2')
    samples = layer.client.metrics_query("sort(sum(esq_test_size) by (zone))")
    assert [(sample.labels, sample.value) for sample in samples] == [({"zone": "a"}, 1), ({"zone": "b"}, 2)]
    assert layer.client.metrics_query("scalar(sum(esq_test_size))")[0].value == 3


def test_values_over_time(layer: Layer) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    start = now - dt.timedelta(minutes=1)
    for offset, value in ((0, 1), (30, 2)):
        at = int((start.timestamp() + offset) * 1000)
        layer.metrics.write(f"esq_test_range {value} {at}")
    (series,) = layer.client.metrics_range("esq_test_range", start, start + dt.timedelta(seconds=30), 30)
    assert series.points == ((start.timestamp(), 1), (start.timestamp() + 30, 2))


def test_log_entries_newest_first(layer: Layer) -> None:
    now = dt.datetime.now(dt.UTC)
    entries = [
        {"_time": (now - dt.timedelta(seconds=age)).isoformat(), "_msg": f"{age} s ago", "trace_id": TRACE_ID}
        for age in (1, 3, 2)
    ]
    layer.logs.write(*map(json.dumps, entries))
    newest = layer.client.logs_query(f'trace_id:="{TRACE_ID}"', limit=2)
    assert [entry["_msg"] for entry in newest] == ["1 s ago", "2 s ago"]
    old = layer.client.logs_query(f'trace_id:="{TRACE_ID}"', end=now - dt.timedelta(seconds=2.5))
    assert [entry["_msg"] for entry in old] == ["3 s ago"]


def test_alert_of_a_rule(layer: Layer) -> None:
    layer.metrics.write('esq_test_up{zone="a"} 0')
    wait_until("the alert", lambda: bool(layer.client.alerts()), TIMEOUT_SECONDS)
    (alert,) = layer.client.alerts()
    assert (alert.name, alert.state, alert.labels["zone"]) == ("PostgresDown", "active", "a")
    assert alert.annotations["summary"] == "Postgres is down in a"
    rules = json.loads(layer.client.request("GET", "rules", "/api/v1/rules"))
    assert rules["data"]["groups"][0]["rules"][0]["name"] == "PostgresDown"


def test_silence_suppresses_an_alert(layer: Layer) -> None:
    now = dt.datetime.now(dt.UTC)
    layer.metrics.write('esq_test_up{zone="b"} 0')
    matcher = {"name": "zone", "value": "b", "isRegex": False}
    silence = {
        "matchers": [matcher],
        "startsAt": now.isoformat(),
        "endsAt": (now + dt.timedelta(hours=1)).isoformat(),
        "createdBy": "test",
        "comment": "test",
    }
    layer.client.request("POST", observability.ALERTMANAGER, "/api/v2/silences", body=silence)

    def suppressed() -> bool:
        return any(alert.state == "suppressed" and alert.silenced_by for alert in layer.client.alerts())

    wait_until("the silence", suppressed, TIMEOUT_SECONDS)


@pytest.mark.parametrize(
    "query",
    [
        lambda client: client.metrics_query("sum("),
        lambda client: client.logs_query('unfinished:"'),
    ],
)
def test_invalid_query_is_rejected_with_the_reason(layer: Layer, query: object) -> None:
    with pytest.raises(QueryError) as caught:
        query(layer.client)  # type: ignore[operator]
    assert "parse" in caught.value.detail


def test_gateway_requires_its_token(layer: Layer) -> None:
    url = f"https://{layer.gateway.address}/metrics/api/v1/query"
    for headers in ({}, {observability.TOKEN_HEADER: "Bearer other"}):
        with httpx.Client(verify=False) as http:  # noqa: S501 - the certificate is not what this tests
            assert http.get(url, params={"query": "up"}, headers=headers).status_code == 401


def test_status_counts_targets_and_names_alerts(layer: Layer, server: ApiServer) -> None:
    layer.metrics.write('up{job="a"} 1', 'up{job="b"} 0', 'esq_test_up{zone="c"} 0')

    def has_alert() -> bool:
        status = observability_status.collect(server.kubeconfig)
        return status is not None and "PostgresDown" in status.alerts

    wait_until("the alert", has_alert, TIMEOUT_SECONDS)
    status = observability_status.collect(server.kubeconfig)
    assert status is not None
    assert (status.targets_up, status.targets) == (1, 2)
    assert status.problems == ["observability: nobody evaluates the rules, so that no alert can fire"]
    layer.metrics.write('up{job="observability",instance="10.0.0.1:8880"} 1')
    wait_until("the evaluator", lambda: not _problems(server), TIMEOUT_SECONDS)
    with layer.metrics.server.frozen():
        status = observability_status.collect(server.kubeconfig)
    assert status is not None
    assert status.problems


def _problems(server: ApiServer) -> list[str]:
    status = observability_status.collect(server.kubeconfig)
    return status.problems if status else ["not deployed"]


def test_layer_that_does_not_answer_is_unavailable(layer: Layer) -> None:
    with layer.logs.server.frozen(), pytest.raises(LayerUnavailableError):
        layer.client.logs_query("*")
