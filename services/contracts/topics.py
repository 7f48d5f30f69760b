"""The Kafka topics: one declared table, applied by the deploy; brokers create none by themselves.

Each topic has, for each service that reads it, two more that follow from it: one where what failed waits for
another attempt, one where it ends when attempts are used up. Only the service that failed reads them, so that
nobody else sees an event twice.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """A topic and what is promised about it.

    Attributes:
        name: as the brokers know it.
        key: what its records are keyed by; records of one key arrive in their order. One that failed comes
            again later than those after it: handlers bear that.
        owner: the only service that writes to it.
        consumers: the services that read it, each as a group of its own.
        events: fields of the envelope that travel on it.
        partitions: the most consumers of one group that can share it.
        retention_ms: milliseconds a record is kept.
        cleanup: `delete`, or `compact,delete`: of records with one key only the last is kept.
    """

    name: str
    key: str
    owner: str
    consumers: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    partitions: int = 12
    retention_ms: int = 7 * DAY_MS
    cleanup: str = "delete"


MESSAGE_REQUESTED = Topic(
    "message.requested",
    key="connection",
    owner="campaigns",
    consumers=("whatsapp",),
    events=("messages_requested", "message_requested", "campaign_halted"),
)
MESSAGE_STATUS = Topic(
    "message.status",
    key="campaign",
    owner="whatsapp",
    consumers=("campaigns",),
    events=(
        "messages_reported",
        "message_accepted",
        "message_failed",
        "message_uncertain",
        "status_changed",
        "message_recalled",
        "message_expired",
    ),
)


def retry_topic(topic: Topic, consumer: str) -> Topic:
    """Return where events wait that `consumer` failed to handle."""
    return Topic(retry_name(topic.name, consumer), topic.key, consumer, (consumer,), topic.events, 3)


def dead_topic(topic: Topic, consumer: str) -> Topic:
    """Return where events end that `consumer` could not handle.

    Keyed by where the event came from, and compacted: what is replayed or dropped is so by an empty record.
    """
    return Topic(
        dead_name(topic.name, consumer),
        key="origin",
        owner=consumer,
        events=topic.events,
        partitions=1,
        retention_ms=30 * DAY_MS,
        cleanup="compact,delete",
    )


def retry_name(topic: str, consumer: str) -> str:
    """Return the name of the retry topic."""
    return f"{topic}.retry.{consumer}"


def dead_name(topic: str, consumer: str) -> str:
    """Return the name of the dead-letter topic."""
    return f"{topic}.dead.{consumer}"


DECLARED = (MESSAGE_REQUESTED, MESSAGE_STATUS)
"""The topics that services agree on."""
DEAD = tuple(dead_topic(topic, consumer) for topic in DECLARED for consumer in topic.consumers)
RETRY = tuple(retry_topic(topic, consumer) for topic in DECLARED for consumer in topic.consumers)
TOPICS = (*DECLARED, *RETRY, *DEAD)
"""All that the deploy makes."""

REPLICATION_FACTOR = 3
MIN_INSYNC_REPLICAS = 2
