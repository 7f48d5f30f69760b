"""Findings about a data component, from the health of its replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.components.component_health import PRIMARY
from runbooks.check import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.components.component_health import ComponentHealth, Replica
    from runbooks.check import CheckContext

_UNKNOWN = "unknown"


def outage(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if a component does not serve.

    Args:
        context: the environment.
        component: `postgres`, `redis`, `kafka` or `object-store`.
    """
    health = context.component(component)
    if not health.outage:
        return None
    # A replica that follows nobody is a consequence of the leader that is lost.
    lost = [
        replica for replica in health.unhealthy if replica.role in {PRIMARY, _UNKNOWN} or not _runs(replica)
    ]
    return _finding(f"{component}: {health.outage}", health, lost or health.unhealthy)


def lost_redundancy(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if a component serves, and a replica does not work.

    Args:
        context: the environment.
        component: `postgres`, `redis`, `kafka` or `object-store`.
    """
    health = context.component(component)
    if health.healthy or health.outage:
        return None
    return _finding(f"{component}: {health.summary}", health, health.unhealthy)


def several_primaries(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if more than one replica acts as the primary.

    Args:
        context: the environment.
        component: `postgres` or `redis`.
    """
    health = context.component(component)
    acting = [replica for replica in health.replicas if replica.role == PRIMARY]
    if len(acting) < 2:  # noqa: PLR2004 - one primary is normal
        return None
    return _finding(
        f"{component}: {', '.join(replica.name for replica in acting)} act as primary", health, acting
    )


def no_quorum_leader(context: CheckContext) -> Finding | None:
    """Return a finding if a broker of Kafka answers, and no controller leads the quorum."""
    health = context.component("kafka")
    known = [replica for replica in health.replicas if replica.role != _UNKNOWN]
    if not known or any("leads" in replica.role for replica in known):
        return None
    return _finding("kafka: no controller leads the quorum", health, health.unhealthy)


def _runs(replica: Replica) -> bool:
    """Return whether the pod of a replica runs, as the others or Kubernetes see it."""
    state, _, pod_problem = replica.state.partition(", ")
    return state not in {"fenced", "down"} and not pod_problem


def _finding(reason: str, health: ComponentHealth, replicas: Iterable[Replica]) -> Finding:
    lines = [
        f"{replica.name} ({replica.zone or 'no zone'}, {replica.role}): {replica.state}"
        for replica in health.replicas
    ]
    return Finding(
        reason, tuple(lines) or (health.summary,), known_zones(replica.zone for replica in replicas)
    )


def known_zones(zones: Iterable[str | None]) -> frozenset[str]:
    """Return the zones of something; none if one of them is not known."""
    names = set(zones)
    return frozenset(zone for zone in names if zone) if all(names) else frozenset()
