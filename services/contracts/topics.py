"""The Kafka topics: one declared table, applied by the deploy; brokers create none by themselves."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """A topic and what is promised about it.

    Attributes:
        name: as the brokers know it.
        key: what its records are keyed by; records of one key keep their order.
        owner: the only service that writes to it.
        partitions: the most consumers of one group that can share it.
        retention_ms: milliseconds a record is kept.
    """

    name: str
    key: str
    owner: str
    partitions: int = 12
    retention_ms: int = 7 * DAY_MS


MESSAGE_REQUESTED = Topic("message.requested", key="connection", owner="campaigns")
MESSAGE_STATUS = Topic("message.status", key="message", owner="whatsapp")

TOPICS = (MESSAGE_REQUESTED, MESSAGE_STATUS)

REPLICATION_FACTOR = 3
MIN_INSYNC_REPLICAS = 2
