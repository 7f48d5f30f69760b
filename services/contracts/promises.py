"""What the platform promises, in one table: experiments, alerts and documents take their numbers here.

Every promise names the command that measures it. A target is what the typical run (the median) has to reach,
a ceiling is what no run may exceed. All figures are such that less is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.contracts.backups import RPO_SECONDS

DAYS = 30
AVAILABILITY = 0.9999
ERROR_BUDGET_SECONDS = DAYS * 86_400 * (1 - AVAILABILITY)
"""Seconds without service that 99.99 % allows in 30 days: 259."""


class Standing(StrEnum):
    """How a figure stands to its promise."""

    KEPT = "kept"
    """The median reaches the target, and no run exceeds the ceiling."""
    BEHIND = "behind"
    """No run exceeds the ceiling, but the median misses the target."""
    BROKEN = "broken"
    """A run exceeds the ceiling."""


@dataclass(frozen=True)
class Promise:
    """A number the platform stands for.

    Attributes:
        id: what evidence is filed under.
        sentence: what is promised, for people.
        target: for the median of all runs.
        ceiling: for every run.
        unit: of both.
        command: measures it and keeps the evidence.
    """

    id: str
    sentence: str
    target: float
    ceiling: float
    unit: str
    command: str

    def standing(self, median: float, worst: float) -> Standing:
        """Judge the median and the worst of some runs."""
        if worst > self.ceiling:
            return Standing.BROKEN
        return Standing.KEPT if median <= self.target else Standing.BEHIND


def _chaos(name: str) -> str:
    return f"esq chaos run {name}"


def _load(journey: str) -> str:
    return f"esq load run {journey}"


_WRITES = "writes through Postgres go on"

PROMISES = (
    Promise(
        "postgres-killed",
        f"Postgres primary's process killed: {_WRITES}",
        15,
        30,
        "s",
        _chaos("postgres-killed"),
    ),
    Promise("postgres-frozen", f"Postgres primary frozen: {_WRITES}", 25, 45, "s", _chaos("postgres-frozen")),
    Promise(
        "postgres-node-lost",
        f"Node of the Postgres primary dies and returns: {_WRITES}",
        25,
        45,
        "s",
        _chaos("node-died"),
    ),
    Promise(
        "postgres-zone-lost",
        f"Zone of the Postgres primary lost: {_WRITES}",
        25,
        45,
        "s",
        _chaos("zone-lost"),
    ),
    Promise(
        "postgres-partitioned",
        f"Zone of the Postgres primary cut off, still running: {_WRITES}",
        25,
        45,
        "s",
        _chaos("zone-cut"),
    ),
    Promise("kafka-killed", "Kafka broker killed: records are taken", 10, 15, "s", _chaos("kafka-killed")),
    Promise("kafka-zone-lost", "Zone lost: Kafka takes records", 10, 45, "s", _chaos("zone-lost")),
    Promise("redis-killed", "Redis primary killed: writes go on", 8, 12, "s", _chaos("redis-killed")),
    Promise(
        "objects-killed", "Object store node killed: objects are taken", 5, 45, "s", _chaos("objects-killed")
    ),
    Promise("objects-zone-lost", "Zone lost: objects are taken", 5, 45, "s", _chaos("zone-lost")),
    Promise(
        "edge-zone-lost",
        "Zone lost during a campaign: the edge answers requests",
        5,
        25,
        "s",
        _chaos("zone-lost"),
    ),
    Promise(
        "redundancy-zone-lost",
        "Zone lost: every service has all its replicas again",
        20,
        45,
        "s",
        _chaos("zone-lost"),
    ),
    Promise(
        "writes-lost",
        "Acknowledged writes lost to any single fault, in Postgres, Kafka and the object store",
        0,
        0,
        "writes",
        _chaos("zone-lost"),
    ),
    Promise("messages-lost", "Campaign messages lost to a lost zone", 0, 0, "messages", _chaos("zone-lost")),
    Promise(
        "messages-duplicated",
        "Campaign messages sent twice because of a lost zone",
        0,
        0,
        "messages",
        _chaos("zone-lost"),
    ),
    Promise(
        "backup-rpo",
        "Whole environment lost: newest acknowledged row that backups bring back is not older than",
        RPO_SECONDS / 2,
        RPO_SECONDS,
        "s",
        "esq backup drill local",
    ),
    Promise(
        "backup-rto",
        "Database restored from backups and checked",
        60,
        600,
        "s",
        "esq backup drill local",
    ),
    Promise(
        "false-failovers",
        "Failovers because of a stall of 5 s anywhere",
        0,
        0,
        "failovers",
        _chaos("stall"),
    ),
    Promise("api-p99", "API requests answered, 99 of 100 within", 0.3, 1, "s", _load("api")),
    Promise("api-failed", "API requests refused or failed", 0.1, 1, "%", _load("api")),
    Promise(
        "path-p99",
        "278 messages a second: from a campaign's acceptance to the provider, 99 of 100 within",
        1,
        3,
        "s",
        _load("path"),
    ),
    Promise("million", "A million messages pass the whole path within", 1000, 3600, "s", _load("campaign")),
    Promise(
        "campaigns-fair",
        "100 campaigns at once: longest wait of a company, of what its share would take",
        1.5,
        2,
        "times",
        _load("campaigns"),
    ),
    Promise(
        "callbacks-behind", "Callbacks worked on after the last of a flood", 5, 30, "s", _load("callbacks")
    ),
    Promise("load-lost", "Messages lost under load", 0, 0, "messages", _load("campaigns")),
    Promise("load-duplicated", "Messages sent twice under load", 0, 0, "messages", _load("campaigns")),
)

BY_ID = {promise.id: promise for promise in PROMISES}
