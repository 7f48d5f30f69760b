"""Health of Postgres, as reported by Patroni."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.components.component_health import (
    PodUnreachableError,
    Replica,
    component_health,
    primary_outage,
    query_first_reachable,
    unreachable_component,
    unreachable_replica,
)
from infra.names import STATEFUL_REPLICAS

if TYPE_CHECKING:
    from infra.components.component_health import ComponentHealth, Pod, PodClient

_REST_PORT = 8008
_ROLES = {"leader": "primary", "quorum_standby": "quorum standby", "replica": "replica"}
_HEALTHY_STATES = {"leader": "running", "quorum_standby": "streaming"}


def collect(pods: PodClient) -> ComponentHealth:
    """Return the health, from the member list of the first reachable member."""
    postgres_pods = pods.list_pods("postgres")
    try:
        cluster = json.loads(
            query_first_reachable(postgres_pods, lambda pod: pods.get(pod, _REST_PORT, "/cluster"))
        )
        credentials = pods.configuration_digest("postgres")
    except PodUnreachableError as error:
        return unreachable_component("postgres", postgres_pods, error)
    members = {member["name"]: member for member in cluster["members"]}
    replicas = [_replica(pod, members.get(pod.name), credentials) for pod in postgres_pods]
    standbys = STATEFUL_REPLICAS - 1
    summary = f"primary {_leader(members)}, {standbys} standbys streaming, commits wait for one"
    return component_health("postgres", replicas, summary, primary_outage(replicas, postgres_pods))


def _leader(members: dict[str, Any]) -> str:
    return next((name for name, member in members.items() if member["role"] == "leader"), "unknown")


def _replica(pod: Pod, member: dict[str, Any] | None, credentials: str) -> Replica:
    if member is None:
        return unreachable_replica(pod, "unknown to Patroni")
    lag = member.get("lag")
    problem = "" if pod.ready else pod.reason or "not ready"
    # See pod_programs/strict_patroni.py.
    if not problem and member.get("tags", {}).get("credentials", "") != credentials:
        problem = "applying changed credentials"
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role=_ROLES.get(member["role"], member["role"]),
        state=f"{member['state']}, {problem}" if problem else member["state"],
        healthy=not problem and _HEALTHY_STATES.get(member["role"]) == member["state"],
        lag=lag if isinstance(lag, int) else None,
        lag_unit="bytes",
    )
