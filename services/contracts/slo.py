"""Service level objectives (SLOs), in one table: the source of experiments, alerts and documents.

Every SLO names the command that measures it. The objective applies to the median of all runs, the limit to
every run. Lower values are better for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.contracts.backup_verification import RPO_SECONDS

PERIOD_DAYS = 30
AVAILABILITY = 0.9999
ERROR_BUDGET_SECONDS = PERIOD_DAYS * 86_400 * (1 - AVAILABILITY)
"""Downtime in seconds that 99.99 % allows in 30 days: 259."""

EVIDENCE_RUNS = 20
"""The status of an SLO is that of its last runs, so that one good run never replaces many others."""
MIN_RUNS = 3
"""Least number of runs among them whose value must count: fewer have no median worth the name."""


class SloStatus(StrEnum):
    """Result of an SLO evaluation."""

    MET = "met"
    """The median meets the objective, and no run exceeds the limit."""
    MISSED = "missed"
    """No run exceeds the limit, but the median misses the objective."""
    VIOLATED = "violated"
    """A run exceeds the limit."""
    INSUFFICIENT = "insufficient"
    """No run exceeds the limit, but too few runs count."""


@dataclass(frozen=True)
class Slo:
    """A service level objective.

    Attributes:
        id: key of its measurements.
        description: measured value, in words.
        objective: upper bound of the median of all runs.
        limit: upper bound of every run.
        unit: unit of both.
        command: command that measures it and stores the measurement.
    """

    id: str
    description: str
    objective: float
    limit: float
    unit: str
    command: str


def _chaos(experiment: str) -> str:
    return f"esq chaos run ENV {experiment}"


def _load(scenario: str) -> str:
    return f"esq load run ENV {scenario}"


_BACKUP_DRILL = "esq backup drill ENV"

SLOS = (
    Slo(
        "postgres-primary-crash",
        "Write unavailability of Postgres after a crash of the primary's process",
        15,
        30,
        "s",
        _chaos("postgres-primary-killed"),
    ),
    Slo(
        "postgres-primary-frozen",
        "Write unavailability of Postgres while the primary's process is frozen",
        25,
        45,
        "s",
        _chaos("postgres-primary-frozen"),
    ),
    Slo(
        "postgres-node-crash",
        "Write unavailability of Postgres after a crash and restart of the primary's node",
        25,
        45,
        "s",
        _chaos("node-crash-restart"),
    ),
    Slo(
        "postgres-zone-outage",
        "Write unavailability of Postgres after an outage of the primary's zone",
        25,
        45,
        "s",
        _chaos("zone-outage"),
    ),
    Slo(
        "postgres-partitioned",
        "Write unavailability of Postgres while the primary's zone is isolated but running",
        25,
        45,
        "s",
        _chaos("zone-isolated"),
    ),
    Slo(
        "kafka-broker-crash",
        "Write unavailability of Kafka after a crash of a broker",
        10,
        15,
        "s",
        _chaos("kafka-broker-killed"),
    ),
    Slo(
        "kafka-zone-outage",
        "Write unavailability of Kafka after a zone outage",
        10,
        45,
        "s",
        _chaos("zone-outage"),
    ),
    Slo(
        "redis-primary-crash",
        "Write unavailability of Redis after a crash of the primary",
        8,
        12,
        "s",
        _chaos("redis-primary-killed"),
    ),
    Slo(
        "object-store-node-crash",
        "Write unavailability of the object store after a crash of a node",
        5,
        45,
        "s",
        _chaos("object-store-node-killed"),
    ),
    Slo(
        "object-store-zone-outage",
        "Write unavailability of the object store after a zone outage",
        5,
        45,
        "s",
        _chaos("zone-outage"),
    ),
    Slo(
        "edge-zone-outage",
        "Read unavailability at the edge after a zone outage during a campaign",
        5,
        25,
        "s",
        _chaos("zone-outage"),
    ),
    Slo(
        "replica-recovery-zone-outage",
        "Time until every service has all its replicas again after a zone outage",
        20,
        45,
        "s",
        _chaos("zone-outage"),
    ),
    Slo(
        "writes-lost",
        "Acknowledged writes lost to any single fault, in Postgres, Kafka and the object store",
        0,
        0,
        "writes",
        _chaos("zone-outage"),
    ),
    Slo(
        "zone-power-loss-writes-lost",
        "Acknowledged writes lost when a zone loses its power, in Postgres, Kafka and the object store",
        0,
        0,
        "writes",
        _chaos("zone-power-loss"),
    ),
    Slo(
        "cluster-power-loss-writes-lost",
        "Acknowledged writes lost when all zones lose their power, in Postgres, Kafka and the object store",
        0,
        0,
        "writes",
        _chaos("cluster-power-loss"),
    ),
    Slo(
        "cluster-power-loss-recovery",
        "Write unavailability at the edge after a power loss of 10 s of all zones and the control plane",
        120,
        300,
        "s",
        _chaos("cluster-power-loss"),
    ),
    Slo(
        "bit-flip-writes-lost",
        "Acknowledged writes lost after a flipped bit in one replica, which is found and repaired",
        0,
        0,
        "writes",
        _chaos("postgres-bit-flip"),
    ),
    Slo(
        "messages-lost",
        "Campaign messages lost after a zone outage",
        0,
        0,
        "messages",
        _chaos("zone-outage"),
    ),
    Slo(
        "messages-duplicated",
        "Campaign messages sent twice after a zone outage",
        0,
        0,
        "messages",
        _chaos("zone-outage"),
    ),
    Slo(
        "rotation-writes-failed",
        "Write requests at the edge that fail while all credentials are replaced",
        0,
        0,
        "requests",
        _chaos("credentials-rotated"),
    ),
    Slo(
        "rotation-reads-failed",
        "Read requests at the edge that fail while all credentials are replaced",
        0,
        0,
        "requests",
        _chaos("credentials-rotated"),
    ),
    Slo(
        "backup-rpo",
        "Age of the newest acknowledged row that backups restore after the loss of the whole environment",
        RPO_SECONDS / 2,
        RPO_SECONDS,
        "s",
        _BACKUP_DRILL,
    ),
    Slo(
        "backup-rto",
        "Time to restore the database from backups and verify it",
        60,
        600,
        "s",
        _BACKUP_DRILL,
    ),
    Slo(
        "false-failovers",
        "Failovers caused by a pause of 5 s in any component",
        0,
        0,
        "failovers",
        _chaos("short-pause-no-failover"),
    ),
    Slo("api-p99", "99th percentile of the API latency", 0.3, 1, "s", _load("api")),
    Slo("api-error-rate", "API requests that are rejected or fail", 0.1, 1, "%", _load("api")),
    Slo(
        "end-to-end-latency-p99",
        "99th percentile of the latency from campaign acceptance to the provider at 278 messages a second",
        1,
        3,
        "s",
        _load("end-to-end"),
    ),
    Slo(
        "bulk-campaign-time",
        "Time until the provider received every message of a campaign of 100,000",
        100,
        360,
        "s",
        _load("campaign"),
    ),
    Slo(
        "million-messages-time",
        "Time until the provider received every message of 100 campaigns of 10,000",
        3000,
        3600,
        "s",
        _load("million"),
    ),
    Slo(
        "campaign-fairness",
        "Longest completion time of a company with 100 concurrent campaigns, relative to its fair share",
        1.5,
        2,
        "times",
        _load("campaigns"),
    ),
    Slo(
        "webhook-drain-time",
        "Time to process the webhook backlog after a burst",
        5,
        30,
        "s",
        _load("webhooks"),
    ),
    Slo("load-lost", "Messages lost under load", 0, 0, "messages", _load("campaigns")),
    Slo("load-duplicated", "Messages sent twice under load", 0, 0, "messages", _load("campaigns")),
)

SLO_BY_ID = {slo.id: slo for slo in SLOS}
