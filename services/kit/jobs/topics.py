"""Topics job: applies `services.contracts.topics` to the brokers, and the permissions that follow from it.

It never deletes or shrinks a topic.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs forget to export what they re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from pydantic import Field

from services.contracts.kafka_access import permissions
from services.contracts.topics import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, TOPICS, Topic
from services.kit.kafka.access_control import apply_permissions
from services.kit.kafka.client import client_config
from services.kit.observability import json_logging
from services.kit.settings import KafkaSettings, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

DEADLINE_SECONDS = 180.0
"""Longest wait for the brokers to become available."""
CALL_TIMEOUT_SECONDS = 15.0
RETRY_INTERVAL_SECONDS = 2.0
EXIT_INVALID_SETTINGS = 2
log = logging.getLogger(__name__)


class TopicsSettings(ProcessSettings, KafkaSettings):
    """Settings of the job."""

    service: str = "topics"
    topic_replicas: int = Field(default=REPLICATION_FACTOR, ge=1)
    """Replicas of each topic; tests with a single broker use 1."""


def apply_topics(admin: AdminClient, topics: Iterable[Topic], replicas: int) -> None:
    """Create missing topics, add missing partitions, update the configuration.

    Args:
        admin: admin client.
        topics: topics to apply.
        replicas: replicas of a new topic.

    Raises:
        KafkaException: the brokers rejected a request, or were unavailable.
    """
    existing = admin.list_topics(timeout=CALL_TIMEOUT_SECONDS).topics
    for topic in topics:
        metadata = existing.get(topic.name)
        if metadata is None:
            _create(admin, topic, replicas)
            continue
        if len(metadata.partitions) < topic.partitions:
            _wait(
                admin.create_partitions(
                    [NewPartitions(topic.name, topic.partitions)], request_timeout=CALL_TIMEOUT_SECONDS
                )
            )
            log.info(
                "Added partitions to %s: %d now",
                topic.name,
                topic.partitions,
                extra={"action": "add_partitions", "topic": topic.name},
            )
        _configure(admin, topic, replicas)


def _create(admin: AdminClient, topic: Topic, replicas: int) -> None:
    """Create the topic, unless a concurrent run has created it."""
    new = NewTopic(topic.name, topic.partitions, replicas, config=_topic_config(topic, replicas))
    try:
        _wait(admin.create_topics([new], request_timeout=CALL_TIMEOUT_SECONDS))
        log.info("Created %s", topic.name, extra={"action": "create_topic", "topic": topic.name})
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _configure(admin: AdminClient, topic: Topic, replicas: int) -> None:
    """Set the options that differ; leave others unchanged."""
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    current = next(iter(admin.describe_configs([resource]).values())).result(CALL_TIMEOUT_SECONDS)
    changes = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in _topic_config(topic, replicas).items()
        if current[name].value != value
    ]
    if changes:
        changed = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=changes)
        _wait(admin.incremental_alter_configs([changed]))
        log.info("Configured %s", topic.name, extra={"action": "configure_topic", "topic": topic.name})


def _topic_config(topic: Topic, replicas: int) -> dict[str, str]:
    """Return the options of the topic."""
    return {
        "retention.ms": str(topic.retention_ms),
        "min.insync.replicas": str(min(MIN_INSYNC_REPLICAS, replicas)),
        "cleanup.policy": topic.cleanup_policy,
    }


def _wait(futures: Mapping[Any, Future[Any]]) -> None:
    """Wait for all results; raise the first error."""
    for future in futures.values():
        future.result(CALL_TIMEOUT_SECONDS)


def apply_before_deadline(settings: TopicsSettings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Apply all topics and permissions, retrying while brokers are unavailable or have no leaders yet.

    Args:
        settings: settings of the job.
        deadline_seconds: longest time to retry.

    Raises:
        KafkaException: they could not be applied before the deadline.
    """
    admin = AdminClient(dict(client_config(settings, settings)), logger=log)
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            apply_topics(admin, TOPICS, settings.topic_replicas)
            return apply_permissions(admin, permissions(TOPICS))
        except (KafkaException, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise
            log.info("Waiting for the brokers: %s", error, extra={"action": "wait_for_brokers"})
            time.sleep(RETRY_INTERVAL_SECONDS)


def main() -> None:
    """Run the job.

    Raises:
        SystemExit: the settings are invalid; the exit code is 2.
    """
    try:
        settings = load(TopicsSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_INVALID_SETTINGS) from None
    json_logging.configure(settings.service, settings.log_level)
    apply_before_deadline(settings)


if __name__ == "__main__":
    main()
