"""What is made of the things' own words, with answers as they were really given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.components.component_health import Pod, PodUnreachableError
from infra.data_layer_health import collect

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakePodClient:
    """Pods that are ready, one per zone, and answer what they were told to."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.not_ready: set[str] = set()

    def list_pods(self, name: str) -> Sequence[Pod]:
        return [
            Pod(
                name=f"{name}-{n}",
                zone=f"zone-{'abc'[n]}",
                ready=f"{name}-{n}" not in self.not_ready,
                reason="ContainersNotReady" if f"{name}-{n}" in self.not_ready else "",
            )
            for n in range(3)
        ]

    def _answer(self, pod: str) -> str:
        answer = self.answers.get(pod, self.answers.get(pod.rpartition("-")[0]))
        if answer is None:
            raise PodUnreachableError(f"{pod} does not answer")
        return answer if isinstance(answer, str) else json.dumps(answer)

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:  # noqa: ARG002 - the port's signature
        return self._answer(pod)

    def get(self, pod: str, port: int, path: str) -> str:  # noqa: ARG002 - the port's signature
        return self._answer(pod)


def member(number: int, role: str, state: str, **more: object) -> dict[str, object]:
    return {"name": f"postgres-{number}", "role": role, "state": state, **more}


def info(role: str, offset: int, link: str = "up") -> str:
    lines = [f"role:{role}", f"master_repl_offset:{offset}"]
    if role == "slave":
        lines += [f"master_link_status:{link}", f"slave_repl_offset:{offset}"]
    return "# Replication\r\n" + "\r\n".join(lines) + "\r\n"


def node(number: int, zone: str, *, up: bool = True) -> dict[str, object]:
    role = {"zone": zone, "capacity": 1, "tags": []}
    return {"id": f"{number}", "hostname": f"objects-{number}", "isUp": up, "role": role, "resyncQueueLen": 0}


def voter(number: int, behind: int) -> dict[str, int]:
    return {"number": number, "behind": behind, "behind_ms": 0}


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
            "objects": {"nodes": [node(0, "zone-a"), node(1, "zone-b"), node(2, "zone-c")]},
        }
    )


def test_all_is_well(pods: FakePodClient) -> None:
    reports = {report.component: report for report in collect(pods)}
    assert [report.component for report in reports.values() if report.healthy] == [
        "postgres",
        "redis",
        "kafka",
        "objects",
    ]
    assert [each.role for each in reports["postgres"].replicas] == [
        "primary",
        "quorum standby",
        "quorum standby",
    ]
    assert [each.lag for each in reports["postgres"].replicas] == [None, 0, 16]
    assert [each.lag for each in reports["redis"].replicas] == [None, 0, 10]
    assert [each.lag for each in reports["kafka"].replicas] == [2, None, 0]
    assert [each.zone for each in reports["objects"].replicas] == ["zone-a", "zone-b", "zone-c"]


BREACHES = [
    ("postgres", {"postgres": {"members": [member(0, "leader", "running")]}}, "unknown to Patroni"),
    ("redis", {"redis-2": info("slave", 1, link="down")}, "redis-2: link down"),
    ("redis", {"redis-1": info("master", 1)}, "running"),
    ("objects", {"objects": {"nodes": [node(0, "zone-a"), node(1, "zone-a")]}}, "laid out for zone-a"),
    ("objects", {"objects": None}, "objects-2 does not answer"),
    ("postgres", {"postgres": None}, "postgres-2 does not answer"),
    ("kafka", {"kafka": None}, "kafka-2 does not answer"),
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


@pytest.mark.parametrize(("thing", "answers", "words"), BREACHES)
def test_what_is_wrong_is_said(pods: FakePodClient, thing: str, answers: dict[str, Any], words: str) -> None:
    pods.answers = {key: value for key, value in {**pods.answers, **answers}.items() if value is not None}
    reports = {report.component: report for report in collect(pods)}
    assert not reports[thing].healthy
    assert words in reports[thing].summary
    assert [report.component for report in reports.values() if not report.healthy] == [thing]


@pytest.mark.parametrize("thing", ["postgres", "redis", "kafka", "objects"])
def test_a_pod_that_is_not_ready_is_no_replica_to_count_on(pods: FakePodClient, thing: str) -> None:
    pods.not_ready = {f"{thing}-2"}
    reports = {report.component: report for report in collect(pods)}
    assert not reports[thing].healthy
    assert "ContainersNotReady" in reports[thing].summary
