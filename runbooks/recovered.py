"""What was wrong a moment ago: told by containers that ended and run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.check import Finding

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from runbooks.readings import PodState

RECENT_SECONDS = 120.0
TOGETHER_SECONDS = 30.0
"""Containers of a zone that ended within this time ended for the same reason."""
MIN_SHARE = 0.6
"""Share of a zone's pods whose containers end together when the zone is lost."""
SLUGS = {
    "postgres": "postgres-down",
    "redis": "redis-down",
    "kafka": "kafka-down",
    "object-store": "object-store-resync-lag",
    "whatsapp-dispatcher": "dispatcher-down",
}
"""Slug by workload; of all others, `service-down`."""
OTHER_SLUG = "service-down"


def recovered_causes(pods: Sequence[PodState], now: dt.datetime) -> Mapping[str, Finding]:
    """Return what explains the containers that ended lately, by slug.

    Args:
        pods: the pods.
        now: current time (UTC).
    """
    ended = [pod for pod in pods if pod.ended_at and (now - pod.ended_at).total_seconds() < RECENT_SECONDS]
    lost_zones = {zone for zone in {pod.zone for pod in ended} if _ended_together(pods, ended, zone)}
    if lost_zones:
        slug = "power-loss" if lost_zones == {pod.zone for pod in pods if pod.zone} else "zone-down"
        lost = [pod for pod in ended if pod.zone in lost_zones]
        reason = f"all containers ended and run again in {', '.join(sorted(lost_zones))}"
        return {slug: Finding(reason, _describe(lost, now), frozenset(lost_zones))}
    slugs = {SLUGS.get(pod.workload, OTHER_SLUG) for pod in ended}
    return {
        slug: _finding([p for p in ended if SLUGS.get(p.workload, OTHER_SLUG) == slug], now) for slug in slugs
    }


def _ended_together(pods: Sequence[PodState], ended: Sequence[PodState], zone: str) -> bool:
    times = [pod.ended_at.timestamp() for pod in ended if pod.zone == zone and pod.ended_at]
    count = sum(pod.zone == zone for pod in pods)
    return len(times) >= MIN_SHARE * count and max(times) - min(times) < TOGETHER_SECONDS


def _finding(pods: Sequence[PodState], now: dt.datetime) -> Finding:
    names = ", ".join(pod.name for pod in pods)
    zones = frozenset(pod.zone for pod in pods if pod.zone)
    return Finding(f"a container ended and runs again: {names}", _describe(pods, now), zones)


def _describe(pods: Iterable[PodState], now: dt.datetime) -> tuple[str, ...]:
    return tuple(
        f"{pod.name} ({pod.zone}): {pod.end_reason}, exit code {pod.end_code},"
        f" {(now - pod.ended_at).total_seconds():.0f} s ago"
        for pod in pods
        if pod.ended_at
    )
