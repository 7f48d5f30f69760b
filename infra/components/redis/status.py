"""Health of Redis, from the replication state of each server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.components.component_health import (
    PodUnreachableError,
    Replica,
    component_health,
    primary_outage,
    unreachable_replica,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.components.component_health import ComponentHealth, Pod, PodClient

_COMMAND = (
    "redis-cli",
    "-e",
    "--user",
    "probe",
    "--tls",
    "--cacert",
    "/etc/esq/tls/ca.crt",
    "-p",
    "6379",
    "info",
    "replication",
)


def collect(pods: PodClient) -> ComponentHealth:
    """Return the health, from the replication state of every server."""
    redis_pods = pods.list_pods("redis")
    with ThreadPoolExecutor(len(redis_pods) or 1) as pool:
        states = pool.map(lambda pod: _replication_state(pods, pod), redis_pods)
        state_by_pod = dict(zip(redis_pods, states, strict=True))
    offset = max((int(state["master_repl_offset"]) for state in state_by_pod.values() if state), default=0)
    replicas = [_replica(pod, state, offset) for pod, state in state_by_pod.items()]
    primaries = [replica.name for replica in replicas if replica.role == "primary"]
    if len(primaries) > 1:
        replicas = [replica.model_copy(update={"healthy": False}) for replica in replicas]
    summary = f"primary {', '.join(primaries)}, its replicas connected"
    return component_health("redis", replicas, summary, primary_outage(replicas, redis_pods))


def _replication_state(pods: PodClient, pod: Pod) -> Mapping[str, str]:
    try:
        output = pods.run(pod.name, "redis", _COMMAND)
    except PodUnreachableError:
        return {}
    return dict(line.split(":", 1) for line in output.split() if ":" in line)


def _replica(pod: Pod, state: Mapping[str, str], primary_offset: int) -> Replica:
    if not state:
        return unreachable_replica(pod)
    is_primary = state["role"] == "master"
    link = "running" if is_primary else f"link {state['master_link_status']}"
    lag = primary_offset - int(state.get("slave_repl_offset", primary_offset))
    return Replica(
        name=pod.name,
        zone=pod.zone,
        role="primary" if is_primary else "replica",
        state=link if pod.ready else f"{link}, {pod.reason or 'not ready'}",
        healthy=pod.ready and link in ("running", "link up"),
        lag=None if is_primary else lag,
        lag_unit="bytes",
    )
