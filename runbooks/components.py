"""Findings about a data component, from the health of its replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.check import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.components.component_health import ComponentHealth, Replica
    from runbooks.check import CheckContext

_PRIMARY = "primary"
_UNKNOWN = "unknown"


def primary_lost(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if a component has no working primary.

    Args:
        context: the environment.
        component: `postgres` or `redis`.
    """
    health = context.component(component)
    if any(replica.healthy and replica.role == _PRIMARY for replica in health.replicas):
        return None
    if len(primaries(health)) > 1:  # a finding of its own
        return None
    lost = [replica for replica in health.replicas if replica.role in {_PRIMARY, _UNKNOWN}]
    return _finding(f"{component} has no working primary", health, lost)


def several_primaries(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if more than one replica acts as the primary.

    Args:
        context: the environment.
        component: `postgres` or `redis`.
    """
    health = context.component(component)
    acting = primaries(health)
    if len(acting) < 2:  # noqa: PLR2004 - one primary is normal
        return None
    return _finding(f"{component} has {len(acting)} primaries", health, acting)


def replica_behind(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if there is a primary, and another replica does not follow it.

    Args:
        context: the environment.
        component: `postgres` or `redis`.
    """
    health = context.component(component)
    behind = unhealthy(health)
    if not behind or len(primaries(health)) != 1 or primaries(health)[0] in behind:
        return None
    return _finding(
        f"{component}: {len(behind)} of {len(health.replicas)} replicas do not follow", health, behind
    )


def member_lost(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if a member does not run, and others do.

    Args:
        context: the environment.
        component: `kafka` or `object-store`.
    """
    health = context.component(component)
    lost = [replica for replica in unhealthy(health) if _has_ended(replica)]
    if not lost:
        return None if health.replicas else _finding(f"{component} has no pods", health, ())
    return _finding(f"{component}: {len(lost)} of {len(health.replicas)} members do not run", health, lost)


def member_behind(context: CheckContext, component: str) -> Finding | None:
    """Return a finding if a member runs and is not in sync.

    Args:
        context: the environment.
        component: `kafka` or `object-store`.
    """
    health = context.component(component)
    behind = [replica for replica in unhealthy(health) if not _has_ended(replica)]
    if not behind:
        return None
    return _finding(
        f"{component}: {len(behind)} of {len(health.replicas)} members are not in sync", health, behind
    )


def primaries(health: ComponentHealth) -> list[Replica]:
    """Return the replicas that act as the primary."""
    return [replica for replica in health.replicas if replica.role == _PRIMARY]


def unhealthy(health: ComponentHealth) -> list[Replica]:
    """Return the replicas that do not work."""
    return [replica for replica in health.replicas if not replica.healthy]


def _has_ended(replica: Replica) -> bool:
    """Return whether a member does not run, as the others or Kubernetes see it."""
    state, _, pod_problem = replica.state.partition(", ")
    ended = replica.role == _UNKNOWN or state in {"fenced", "down"}
    return ended or bool(pod_problem and not pod_problem.startswith("assigned"))


def _finding(reason: str, health: ComponentHealth, replicas: Iterable[Replica]) -> Finding:
    zones = {replica.zone for replica in replicas}
    lines = [
        f"{replica.name} ({replica.zone or 'no zone'}, {replica.role}): {replica.state}"
        for replica in health.replicas
    ]
    known = frozenset(zone for zone in zones if zone) if None not in zones else frozenset()
    return Finding(reason, tuple(lines) or (health.summary,), known)
