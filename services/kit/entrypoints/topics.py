"""The topics job: makes the brokers agree with `services.contracts.topics`. Never deletes, never shrinks."""

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

from services.contracts.topics import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, TOPICS, Topic
from services.kit import logs
from services.kit.kafka import client_config
from services.kit.settings import KafkaSettings, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

DEADLINE_SECONDS = 180.0
CALL_SECONDS = 15.0
PAUSE_SECONDS = 2.0
WRONG_SETTINGS = 2
log = logging.getLogger(__name__)


class TopicsSettings(ProcessSettings, KafkaSettings):
    """What the job is given."""

    service: str = "topics"
    topic_replicas: int = Field(default=REPLICATION_FACTOR, ge=1)
    """Copies of each topic; tests with a single broker use 1."""


def apply(admin: AdminClient, topics: Iterable[Topic], replicas: int) -> None:
    """Create what is missing, grow what has too few partitions, set the configuration.

    Raises:
        KafkaException: the brokers refused, or were not there.
    """
    present = admin.list_topics(timeout=CALL_SECONDS).topics
    for topic in topics:
        known = present.get(topic.name)
        if known is None:
            _create(admin, topic, replicas)
            continue
        if len(known.partitions) < topic.partitions:
            _wait(
                admin.create_partitions(
                    [NewPartitions(topic.name, topic.partitions)], request_timeout=CALL_SECONDS
                )
            )
            log.info("Grew %s to %d partitions", topic.name, topic.partitions, extra={"action": "grow"})
        _configure(admin, topic, replicas)


def _create(admin: AdminClient, topic: Topic, replicas: int) -> None:
    """Create the topic; another run may have been quicker."""
    new = NewTopic(topic.name, topic.partitions, replicas, config=_wanted(topic, replicas))
    try:
        _wait(admin.create_topics([new], request_timeout=CALL_SECONDS))
        log.info("Created %s", topic.name, extra={"action": "create", "topic": topic.name})
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _configure(admin: AdminClient, topic: Topic, replicas: int) -> None:
    """Set what differs, and leave what others have set."""
    resource = ConfigResource(ResourceType.TOPIC, topic.name)
    found = next(iter(admin.describe_configs([resource]).values())).result(CALL_SECONDS)
    changes = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in _wanted(topic, replicas).items()
        if found[name].value != value
    ]
    if changes:
        changed = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=changes)
        _wait(admin.incremental_alter_configs([changed]))
        log.info("Configured %s", topic.name, extra={"action": "configure", "topic": topic.name})


def _wanted(topic: Topic, replicas: int) -> dict[str, str]:
    """Return the topic's configuration as the brokers name it."""
    return {
        "retention.ms": str(topic.retention_ms),
        "min.insync.replicas": str(min(MIN_INSYNC_REPLICAS, replicas)),
        "cleanup.policy": topic.cleanup,
    }


def _wait(futures: Mapping[Any, Future[Any]]) -> None:
    """Wait for each answer; the first failure is raised."""
    for future in futures.values():
        future.result(CALL_SECONDS)


def apply_before_deadline(settings: TopicsSettings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Apply the table, trying again while brokers are not there or have not elected leaders yet.

    Raises:
        KafkaException: still not possible at the deadline.
    """
    admin = AdminClient(dict(client_config(settings, settings)), logger=log)
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            return apply(admin, TOPICS, settings.topic_replicas)
        except (KafkaException, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise
            log.info("Waiting for the brokers: %s", error, extra={"action": "wait"})
            time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Run the job; exit code 2 when the settings are wrong."""
    try:
        settings = load(TopicsSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_SETTINGS) from None
    logs.configure(settings.service, settings.log_level)
    apply_before_deadline(settings)


if __name__ == "__main__":
    main()
