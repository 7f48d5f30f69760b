"""Health of the components of the data layer, from recorded responses."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cli.actions.applied_credentials import wait_until_applied
from infra.components import component_health
from infra.components.component_health import Pod, PodUnreachableError
from infra.data_layer_health import collect
from infra.errors import EsqError
from infra.progress import RecordedStep

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakePodClient:
    """Ready pods, one per zone, with given responses."""

    def __init__(self, responses: dict[str, Any]) -> None:
        self.responses = responses
        self.not_ready: set[str] = set()

    def list_pods(self, name: str) -> Sequence[Pod]:
        return [
            Pod(
                name=f"{name}-{number}",
                zone=f"zone-{'abc'[number]}",
                ready=f"{name}-{number}" not in self.not_ready,
                reason="ContainersNotReady" if f"{name}-{number}" in self.not_ready else "",
            )
            for number in range(3)
        ]

    def _respond(self, pod: str) -> str:
        response = self.responses.get(pod, self.responses.get(pod.rpartition("-")[0]))
        if response is None:
            raise PodUnreachableError(f"{pod} is unreachable")
        return response if isinstance(response, str) else json.dumps(response)

    def configuration_digest(self, secret: str) -> str:  # noqa: ARG002 - same
        return "applied"

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:  # noqa: ARG002 - the port's signature
        return self._respond(pod)

    def get(self, pod: str, port: int, path: str) -> str:  # noqa: ARG002 - the port's signature
        return self._respond(pod)


def member(
    number: int, role: str, state: str, credentials: str = "applied", **more: object
) -> dict[str, object]:
    tags = {"credentials": credentials}
    return {"name": f"postgres-{number}", "role": role, "state": state, "tags": tags, **more}


def info(role: str, offset: int, link: str = "up") -> str:
    lines = [f"role:{role}", f"master_repl_offset:{offset}"]
    if role == "slave":
        lines += [f"master_link_status:{link}", f"slave_repl_offset:{offset}"]
    return "# Replication\r\n" + "\r\n".join(lines) + "\r\n"


def node(number: int, zone: str, *, up: bool = True) -> dict[str, object]:
    role = {"zone": zone, "capacity": 1, "tags": []}
    return {
        "id": f"{number}",
        "hostname": f"object-store-{number}",
        "isUp": up,
        "role": role,
        "resyncQueueLen": 0,
    }


def voter(number: int, lag_records: int) -> dict[str, int]:
    return {"number": number, "lag_records": lag_records}


def partition(in_sync: list[int]) -> dict[str, object]:
    return {"topic": "t", "number": 0, "leader": 0, "replicas": [0, 1, 2], "in_sync": in_sync}


@pytest.fixture
def pods() -> FakePodClient:
    return FakePodClient(
        {
            "postgres": {
                "members": [
                    member(0, "leader", "running"),
                    member(1, "quorum_standby", "streaming", lag=0),
                    member(2, "quorum_standby", "streaming", lag=16),
                ]
            },
            "redis-0": info("master", 100),
            "redis-1": info("slave", 100),
            "redis-2": info("slave", 90),
            "kafka": {
                "metadata": {"brokers": [0, 1, 2], "partitions": [partition([0, 1, 2])]},
                "quorum": {"leader": 1, "voters": [voter(0, 2), voter(1, 0), voter(2, 0)]},
            },
            "object-store": {"nodes": [node(0, "zone-a"), node(1, "zone-b"), node(2, "zone-c")]},
        }
    )


def test_deploy_waits_until_the_members_have_applied_changed_credentials(pods: FakePodClient) -> None:
    step = RecordedStep("credentials")
    members = pods.responses["postgres"]["members"]
    members[2]["tags"]["credentials"] = "previous"
    with pytest.raises(EsqError) as caught:
        wait_until_applied(pods, step, timeout_seconds=0)
    assert caught.value.detail == "postgres-2: streaming, applying changed credentials"
    members[2]["tags"]["credentials"] = "applied"
    wait_until_applied(pods, step)


def test_healthy_components(pods: FakePodClient) -> None:
    health = {entry.component: entry for entry in collect(pods)}
    assert [entry.component for entry in health.values() if entry.healthy] == [
        "postgres",
        "redis",
        "kafka",
        "object-store",
    ]
    assert [replica.role for replica in health["postgres"].replicas] == [
        "primary",
        "quorum standby",
        "quorum standby",
    ]
    assert [replica.lag for replica in health["postgres"].replicas] == [None, 0, 16]
    assert [replica.lag for replica in health["redis"].replicas] == [None, 0, 10]
    assert [replica.lag for replica in health["kafka"].replicas] == [2, None, 0]
    assert [replica.zone for replica in health["object-store"].replicas] == ["zone-a", "zone-b", "zone-c"]


FAILURES = [
    ("postgres", {"postgres": {"members": [member(0, "leader", "running")]}}, "unknown to Patroni"),
    (
        "postgres",
        {
            "postgres": {
                "members": [
                    member(0, "leader", "running"),
                    member(1, "quorum_standby", "streaming", "previous"),
                    member(2, "quorum_standby", "streaming"),
                ]
            }
        },
        "postgres-1: streaming, applying changed credentials",
    ),
    ("redis", {"redis-2": info("slave", 1, link="down")}, "redis-2: link down"),
    ("redis", {"redis-1": info("master", 1)}, "running"),
    (
        "object-store",
        {"object-store": {"nodes": [node(0, "zone-a"), node(1, "zone-a")]}},
        "assigned to zone-a",
    ),
    ("object-store", {"object-store": None}, "object-store-2 is unreachable"),
    ("postgres", {"postgres": None}, "postgres-2 is unreachable"),
    ("kafka", {"kafka": None}, "kafka-2 is unreachable"),
    ("redis", {"redis-0": None}, "redis-0: no answer"),
    (
        "kafka",
        {
            "kafka": {
                "metadata": {"brokers": [0, 1], "partitions": [partition([0, 2])]},
                "quorum": {"leader": 1, "voters": []},
            }
        },
        "kafka-1: catching up on 1 partitions; kafka-2: fenced",
    ),
]


@pytest.mark.parametrize(("component", "responses", "message"), FAILURES)
def test_failure_is_reported(
    pods: FakePodClient, component: str, responses: dict[str, Any], message: str
) -> None:
    pods.responses = {
        key: value for key, value in {**pods.responses, **responses}.items() if value is not None
    }
    health = {entry.component: entry for entry in collect(pods)}
    assert not health[component].healthy
    assert message in health[component].summary
    assert [entry.component for entry in health.values() if not entry.healthy] == [component]


@pytest.mark.parametrize("component", ["postgres", "redis", "kafka", "object-store"])
def test_component_with_a_pod_that_is_not_ready_is_unhealthy(pods: FakePodClient, component: str) -> None:
    pods.not_ready = {f"{component}-2"}
    health = {entry.component: entry for entry in collect(pods)}
    assert not health[component].healthy
    assert "ContainersNotReady" in health[component].summary


OUTAGES = [
    (
        "postgres",
        {"postgres": {"members": [member(1, "quorum_standby", "streaming")]}},
        "no primary accepts writes",
    ),
    ("postgres", {"postgres": {"members": [member(0, "leader", "starting")]}}, "no primary accepts writes"),
    ("redis", {"redis-0": info("slave", 1, link="down")}, "no primary accepts writes"),
    (
        "kafka",
        {
            "kafka": {
                "metadata": {"brokers": [1, 2], "partitions": [partition([1, 2]) | {"leader": -1}]},
                "quorum": {"leader": 1, "voters": []},
            }
        },
        "1 partitions have no leader",
    ),
    ("object-store", {"object-store": {"nodes": [node(0, "zone-a")]}}, "1 of 3 nodes are up: no quorum"),
    ("kafka", {"kafka": None}, "kafka-2 is unreachable"),
]


@pytest.mark.parametrize(("component", "responses", "outage"), OUTAGES)
def test_component_that_does_not_serve_has_an_outage(
    pods: FakePodClient, component: str, responses: dict[str, Any], outage: str
) -> None:
    pods.responses = {
        key: value for key, value in {**pods.responses, **responses}.items() if value is not None
    }
    health = {entry.component: entry for entry in collect(pods)}
    assert health[component].outage == outage
    assert outage in health[component].summary


def test_component_that_lacks_a_replica_has_no_outage(pods: FakePodClient) -> None:
    pods.not_ready = {"postgres-1", "redis-1", "kafka-1", "object-store-1"}
    assert {entry.outage for entry in collect(pods)} == {""}


def test_primary_that_applies_credentials_serves(pods: FakePodClient) -> None:
    pods.responses["postgres"]["members"][0] = member(0, "leader", "running", "previous")
    health = {entry.component: entry for entry in collect(pods)}["postgres"]
    assert not health.healthy
    assert not health.outage


def test_pod_that_hangs_does_not_delay_the_question_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_health, "HEDGE_SECONDS", 0.01)
    released = threading.Event()

    def query(pod: str) -> str:
        if pod != "kafka-2":
            released.wait(30)
        return pod

    try:
        assert (
            component_health.query_first_reachable(FakePodClient({}).list_pods("kafka"), query) == "kafka-2"
        )
    finally:
        released.set()


def test_defect_of_a_query_is_not_taken_for_an_unreachable_pod() -> None:
    def query(pod: str) -> str:
        raise KeyError(pod)

    with pytest.raises(KeyError):
        component_health.query_first_reachable(FakePodClient({}).list_pods("kafka"), query)
