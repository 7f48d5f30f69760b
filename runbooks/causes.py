"""Which problem explains which: a cause dominates its symptoms.

The catalog says what an alert inhibits, for those who are paged; that holds here as well. This table adds
what only a diagnosis needs, e.g. a rejected password, whose alert fires later than the outage it explains.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from infra.alerts.catalog import ALERTS, alert_slug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbooks.check import Finding

_EDGE = ("api-availability", "api-latency")
_REPLICAS = (
    *(
        "postgres-replication-lag",
        "redis-replication-lag",
        "kafka-under-replicated",
        "object-store-resync-lag",
    ),
)
_OUTAGES = ("postgres-down", "redis-down", "kafka-down", "kafka-quorum-lost", "object-store-down")
_SLOWNESS = ("postgres-slow", "redis-slow", "kafka-slow", "object-store-slow")
_PROCESSES = ("service-down", "dispatcher-down", "recovery-slow")
_FLOW = (
    *("delivery-latency", "queue-backlog", "campaign-stuck", "webhook-missing"),
    *("processing-anomaly", "log-pattern-exploded", "telemetry-missing"),
)
_USERS = (*_EDGE, *_PROCESSES, *_FLOW)
_RESOURCES = ("cpu-pressure", "memory-pressure")
_MACHINES = (
    *(*_OUTAGES, *_REPLICAS, *_SLOWNESS, *_USERS, *_RESOURCES, "dns-down", "network-degraded"),
    *("redis-split-brain", "credentials-rejected"),
)

DIAGNOSES: Mapping[str, tuple[str, ...]] = {
    "power-loss": (*_MACHINES, "zone-down", "control-plane-down", "disk-pressure"),
    "zone-down": (*_MACHINES, "disk-pressure"),
    "control-plane-down": ("telemetry-missing", "recovery-slow"),
    "dns-down": (*_OUTAGES, *_REPLICAS, *_USERS, *_SLOWNESS, "credentials-rejected"),
    "network-degraded": (*_OUTAGES, *_REPLICAS, *_SLOWNESS, *_USERS),
    "disk-pressure": (*_OUTAGES, *_REPLICAS, *_SLOWNESS, *_USERS, "backup-stale"),
    "memory-pressure": (*_OUTAGES, *_REPLICAS, *_SLOWNESS, *_USERS),
    "cpu-pressure": (*_REPLICAS, *_SLOWNESS, *_USERS),
    "postgres-disk-full": ("postgres-down", "postgres-replication-lag", *_USERS),
    "kafka-disk-full": ("kafka-down", "kafka-under-replicated", *_USERS),
    "object-store-disk-full": ("object-store-down", "object-store-resync-lag", "backup-stale"),
    "object-store-down": ("backup-stale",),
    "redis-memory-full": ("queue-backlog", "delivery-latency"),
    "postgres-split-brain": ("postgres-replication-lag",),
    "redis-split-brain": ("redis-replication-lag", "queue-backlog"),
    "kafka-quorum-lost": ("kafka-down", "kafka-under-replicated", *_USERS),
    "postgres-down": (*_USERS, "dead-letters"),
    "redis-down": _FLOW,
    "kafka-down": ("kafka-under-replicated", "recovery-slow", *_FLOW),
    "data-damaged": (*_OUTAGES, *_REPLICAS),
    "credentials-rejected": _USERS,
    "certificate-expiring": ("credentials-rejected", *_USERS),
    "ca-expiring": ("certificate-expiring", "credentials-rejected", *_USERS),
    "deploy-failed": ("service-down", "dispatcher-down", "recovery-slow", *_EDGE),
    "dispatcher-down": ("delivery-latency", "campaign-stuck", "queue-backlog"),
    "service-down": (*_EDGE, *_FLOW),
    "recovery-slow": ("delivery-latency", *_EDGE),
    "provider-outage": _FLOW,
}
"""Symptoms by cause, beyond those that the catalog inhibits."""
SYMPTOMS = frozenset({*_EDGE, *_FLOW})
"""What users or signals notice. One that nothing explains has an unknown cause."""
ZONAL = frozenset({"zone-down", "disk-pressure", "dns-down"})
"""Causes that act in their zones only. A slow primary, for instance, makes replicas of other zones lag."""
LEFT_FAULT = "fault-left"
"""Explains whatever is wrong beside it: nothing else can be judged while it is open."""


@cache
def symptoms_of(slug: str) -> frozenset[str]:
    """Return the slugs of the alerts that a problem can explain."""
    inhibited = (alert.inhibits for alert in ALERTS if alert.slug == slug)
    own = (alert_slug(name) for names in inhibited for name in names)
    if slug == LEFT_FAULT:
        return frozenset(alert.slug for alert in ALERTS) - {LEFT_FAULT, "data-leak-suspected"}
    return frozenset((*own, *DIAGNOSES.get(slug, ()))) - {slug}


def explains(cause: str, finding: Finding, symptom: str, other: Finding) -> bool:
    """Return whether one finding explains another: a lost zone explains its own pods, not those of others.

    Args:
        cause: slug of the check of the possible cause.
        finding: its finding.
        symptom: slug of the check of the possible symptom.
        other: its finding.
    """
    if symptom not in symptoms_of(cause):
        return False
    is_elsewhere = bool(other.zones) and not other.zones <= finding.zones
    return not (cause in ZONAL and is_elsewhere)
