"""Score of a diagnosis: the true causes of each experiment, and how much of them was named.

A fault can be named by more than one alert: of a killed broker, that it is down or that partitions lack its
replica. A run whose fault the platform hides from everybody has no cause to name; naming one is false.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True)
class Truth:
    """What is true about the fault of an experiment.

    Attributes:
        causes: the true causes; of each, the slugs of which one must be named.
        consequences: slugs that are true as well and need not be named, e.g. of the recovery.
    """

    causes: tuple[frozenset[str], ...]
    consequences: frozenset[str] = frozenset()


def _truth(*causes: str, consequences: str = "") -> Truth:
    """Return the truth; names of a cause are separated by spaces."""
    return Truth(tuple(frozenset(cause.split()) for cause in causes), frozenset(consequences.split()))


_POSTGRES = "postgres-down postgres-replication-lag"
_REDIS = "redis-down redis-replication-lag"
_KAFKA = "kafka-down kafka-under-replicated kafka-quorum-lost"
_CPU = "cpu-pressure postgres-slow"
_MEMORY = "memory-pressure"

TRUTHS: Mapping[str, Truth] = {
    "certificate-expired": _truth("certificate-expiring"),
    "cluster-power-loss": _truth("power-loss"),
    "control-plane-outage": _truth("control-plane-down"),
    "credentials-rotated": _truth(consequences="recovery-slow postgres-replication-lag"),
    "disk-full": _truth("disk-pressure postgres-disk-full kafka-disk-full object-store-disk-full"),
    "dispatcher-killed": _truth("dispatcher-down recovery-slow service-down"),
    "dns-outage": _truth("dns-down"),
    "invalid-database-password": _truth("credentials-rejected"),
    "kafka-bit-flip": _truth("data-damaged", consequences="kafka-under-replicated"),
    "kafka-broker-killed": _truth(_KAFKA),
    "node-crash-restart": _truth("zone-down"),
    "node-drained": _truth("zone-down"),
    "object-store-bit-flip": _truth("data-damaged", consequences="object-store-resync-lag"),
    "object-store-node-killed": _truth("object-store-resync-lag object-store-down"),
    "pipeline-sequential-kill": _truth(
        "service-down recovery-slow dispatcher-down",
        consequences=f"service-down recovery-slow dispatcher-down {_POSTGRES} {_REDIS} {_KAFKA}",
    ),
    "postgres-and-kafka-killed": _truth(_POSTGRES, _KAFKA),
    "postgres-bit-flip": _truth("data-damaged", consequences="postgres-replication-lag"),
    "postgres-primary-container-killed": _truth(_POSTGRES),
    "postgres-primary-cpu-stressed": _truth(_CPU),
    "postgres-primary-cpu-throttled": _truth(_CPU),
    "postgres-primary-frozen": _truth(_POSTGRES),
    "postgres-primary-killed": _truth(_POSTGRES),
    "postgres-primary-memory-pressure": _truth(_MEMORY),
    "postgres-primary-memory-stressed": _truth(_MEMORY),
    "postgres-primary-pod-deleted": _truth(_POSTGRES),
    "redis-flushed": _truth(consequences="queue-backlog"),
    "redis-primary-frozen": _truth(_REDIS),
    "redis-primary-killed": _truth(_REDIS),
    "short-pause-no-failover": _truth(consequences=f"zone-down {_POSTGRES} {_REDIS} {_KAFKA}"),
    "zone-bandwidth-limit": _truth("network-degraded"),
    "zone-isolated": _truth("zone-down network-degraded"),
    "zone-latency": _truth("network-degraded"),
    "zone-one-way-partition": _truth("network-degraded zone-down"),
    "zone-outage": _truth("zone-down"),
    "zone-packet-loss": _truth("network-degraded"),
    "zone-partition-from-zones": _truth("network-degraded zone-down"),
    "zone-power-loss": _truth("zone-down power-loss"),
}
"""Truth by experiment."""


def score(named: Collection[str], truth: Truth) -> float:
    """Return the score of a diagnosis, 0 to 1.

    Zero if a true cause is not named; otherwise the share of true ones among the named causes.

    Args:
        named: slugs of the named causes.
        truth: what is true.
    """
    if any(not cause & set(named) for cause in truth.causes):
        return 0.0
    accepted = truth.consequences.union(*truth.causes)
    false = len(set(named) - accepted)
    true = len(truth.causes)
    return true / (true + false) if true else float(not false)
