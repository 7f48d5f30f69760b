"""Health of Kafka, from what a broker knows about the brokers, the partitions and the quorum."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.component_health import (
    PodUnreachableError,
    Replica,
    component_health,
    query_first_reachable,
    unreachable_component,
)

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth, Pod, PodClient

_COMMAND = ("python3", "/etc/esq/kafka/probe.py")


def collect(pods: PodClient) -> ComponentHealth:
    """Return the health, from the first reachable broker."""
    kafka_pods = pods.list_pods("kafka")
    try:
        report = json.loads(query_first_reachable(kafka_pods, lambda pod: pods.run(pod, "kafka", _COMMAND)))
    except PodUnreachableError as error:
        return unreachable_component("kafka", kafka_pods, error)
    replicas = [_replica(pod, report) for pod in kafka_pods]
    count = len(report["metadata"]["partitions"])
    summary = (
        f"{len(kafka_pods)} brokers, all {count} partitions in sync, quorum led by kafka-{_leader(report)}"
    )
    return component_health("kafka", replicas, summary, _outage(report))


def _outage(report: dict[str, Any]) -> str:
    """Return why Kafka does not accept all events; empty if it does."""
    metadata = report["metadata"]
    leaderless = [part for part in metadata["partitions"] if part["leader"] not in metadata["brokers"]]
    return f"{len(leaderless)} partitions have no leader" if leaderless else ""


def _leader(report: dict[str, Any]) -> int:
    leader: int = report["quorum"]["leader"]
    return leader


def _replica(pod: Pod, report: dict[str, Any]) -> Replica:
    number = int(pod.name.rpartition("-")[2])
    lagging = [
        partition
        for partition in report["metadata"]["partitions"]
        if number in partition["replicas"] and number not in partition["in_sync"]
    ]
    fenced = number not in report["metadata"]["brokers"]
    state = "fenced" if fenced else f"catching up on {len(lagging)} partitions" if lagging else "in sync"
    voter = next((voter for voter in report["quorum"]["voters"] if voter["number"] == number), None)
    is_leader = number == _leader(report)
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="broker, leads the quorum" if is_leader else "broker, votes",
        state=state if pod.ready else f"{state}, {pod.reason or 'not ready'}",
        healthy=pod.ready and not fenced and not lagging,
        lag=None if is_leader or voter is None else voter["lag_records"],
        lag_unit="metadata records",
    )
