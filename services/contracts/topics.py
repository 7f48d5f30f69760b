"""Kafka topics: one declared table, applied by the deploy; brokers create none automatically.

Each topic has two derived topics for each service that consumes it: a retry topic for records that failed,
and a dead-letter topic for those without attempts left. Only the service that failed reads them, so that no
other service receives an event twice.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """A topic and its properties.

    Attributes:
        name: name on the brokers.
        key: what the record key identifies; records of one key arrive in order. A record that failed arrives
            again after later ones: handlers must tolerate that.
        owner: the only service that writes to it.
        consumers: services that read it, each as its own group.
        events: envelope fields that the topic carries.
        partitions: number of partitions; the upper bound of consumers of a group that share it.
        retention_ms: retention of a record in milliseconds.
        cleanup_policy: `delete`, or `compact,delete`: only the last record of each key is retained.
    """

    name: str
    key: str
    owner: str
    consumers: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    partitions: int = 12
    retention_ms: int = 7 * DAY_MS
    cleanup_policy: str = "delete"


MESSAGE_REQUESTED = Topic(
    "message.requested",
    key="connection",
    owner="campaigns",
    consumers=("whatsapp",),
    events=("messages_requested", "campaign_run_stopped"),
)
MESSAGE_STATUS = Topic(
    "message.status",
    key="campaign",
    owner="whatsapp",
    consumers=("campaigns",),
    events=("message_statuses_updated",),
)


def retry_topic(topic: Topic, consumer: str) -> Topic:
    """Return the topic of events that wait for another attempt.

    Args:
        topic: topic of the original event.
        consumer: service that failed to handle it.

    Returns:
        The retry topic.
    """
    return Topic(retry_topic_name(topic.name, consumer), topic.key, consumer, (consumer,), topic.events, 3)


def dead_letter_topic(topic: Topic, consumer: str) -> Topic:
    """Return the topic of events without attempts left.

    It is keyed by the origin of the event, and compacted: an empty record marks a replayed or discarded one.
    The service reads it to list what is open.

    Args:
        topic: topic of the original event.
        consumer: service that failed to handle it.

    Returns:
        The dead-letter topic.
    """
    return Topic(
        dead_letter_topic_name(topic.name, consumer),
        key="origin",
        owner=consumer,
        consumers=(consumer,),
        events=topic.events,
        partitions=1,
        retention_ms=30 * DAY_MS,
        cleanup_policy="compact,delete",
    )


def retry_topic_name(topic: str, consumer: str) -> str:
    """Return the name of the retry topic.

    Args:
        topic: name of the original topic.
        consumer: service that failed to handle the event.

    Returns:
        The name.
    """
    return f"{topic}.retry.{consumer}"


def dead_letter_topic_name(topic: str, consumer: str) -> str:
    """Return the name of the dead-letter topic.

    Args:
        topic: name of the original topic.
        consumer: service that failed to handle the event.

    Returns:
        The name.
    """
    return f"{topic}.dlq.{consumer}"


EVENT_TOPICS = (MESSAGE_REQUESTED, MESSAGE_STATUS)
"""The main topics."""
DEAD_LETTER_TOPICS = tuple(
    dead_letter_topic(topic, consumer) for topic in EVENT_TOPICS for consumer in topic.consumers
)
RETRY_TOPICS = tuple(retry_topic(topic, consumer) for topic in EVENT_TOPICS for consumer in topic.consumers)
TOPICS = (*EVENT_TOPICS, *RETRY_TOPICS, *DEAD_LETTER_TOPICS)
"""All topics that the deploy creates."""

REPLICATION_FACTOR = 3
MIN_INSYNC_REPLICAS = 2
