"""How the object store is, by what a node knows of all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.report import NoAnswerError, Replica, first_answer, report, silent, unanswered

if TYPE_CHECKING:
    from infra.components.report import Pod, Pods, Report

_ASK = ("garage", "json-api", "GetClusterStatus")


def read(pods: Pods) -> Report:
    """Ask the nodes; the first that answers speaks for all."""
    mine = pods.of("objects")
    try:
        answer = json.loads(first_answer(mine, lambda pod: pods.run(pod, "garage", _ASK)))
    except NoAnswerError as error:
        return unanswered("objects", mine, error)
    nodes = {node["hostname"]: node for node in answer["nodes"] if node.get("hostname")}
    replicas = [_replica(pod, nodes.get(pod.name)) for pod in mine]
    return report("objects", replicas, f"{len(mine)} nodes, a copy of every object in each zone")


def _replica(pod: Pod, node: dict[str, Any] | None) -> Replica:
    if node is None:
        return silent(pod, "unknown to the other nodes")
    role = node.get("role")
    state = "up" if node["isUp"] else "down"
    if role and role["zone"] != pod.zone:
        state += f", laid out for {role['zone']}"
    good = bool(role) and state == "up" and pod.ready
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="storage" if role else "not laid out",
        state=state if pod.ready else f"{state}, {pod.reason or 'not ready'}",
        healthy=good,
        lag=node.get("resyncQueueLen"),
        lag_unit="blocks to copy",
    )
