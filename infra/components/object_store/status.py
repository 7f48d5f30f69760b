"""Health of the object store, from what a node knows about all nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.component_health import (
    PodUnreachableError,
    Replica,
    component_health,
    query_first_reachable,
    unreachable_component,
    unreachable_replica,
)
from infra.names import QUORUM

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth, Pod, PodClient

_COMMAND = ("garage", "json-api", "GetClusterStatus")


def collect(pods: PodClient) -> ComponentHealth:
    """Return the health, from the first reachable node."""
    store_pods = pods.list_pods("object-store")
    try:
        status = json.loads(query_first_reachable(store_pods, lambda pod: pods.run(pod, "garage", _COMMAND)))
    except PodUnreachableError as error:
        return unreachable_component("object-store", store_pods, error)
    nodes = {node["hostname"]: node for node in status["nodes"] if node.get("hostname")}
    replicas = [_replica(pod, nodes.get(pod.name)) for pod in store_pods]
    summary = f"{len(store_pods)} nodes, a copy of every object in each zone"
    up = sum(replica.state.startswith("up") for replica in replicas)
    outage = "" if up >= QUORUM else f"{up} of {len(replicas)} nodes are up: no quorum"
    return component_health("object-store", replicas, summary, outage)


def _replica(pod: Pod, node: dict[str, Any] | None) -> Replica:
    if node is None:
        return unreachable_replica(pod, "unknown to the other nodes")
    role = node.get("role")
    state = "up" if node["isUp"] else "down"
    if role and role["zone"] != pod.zone:
        state += f", assigned to {role['zone']}"
    healthy = bool(role) and state == "up" and pod.ready
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="storage" if role else "not in the layout",
        state=state if pod.ready else f"{state}, {pod.reason or 'not ready'}",
        healthy=healthy,
        lag=node.get("resyncQueueLen"),
        lag_unit="blocks to copy",
    )
