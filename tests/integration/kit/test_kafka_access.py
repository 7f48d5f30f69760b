"""Permissions of the services on a real broker with the authorizer of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs forget to export what they re-export
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from services.contracts.kafka_access import GENERATIONS, consumer_group, permissions
from services.contracts.topics import (
    MESSAGE_REQUESTED,
    MESSAGE_STATUS,
    TOPICS,
    dead_letter_topic,
    retry_topic,
)
from services.kit.kafka.access_control import apply_permissions
from services.kit.kafka.client import client_config
from services.kit.settings import ProcessSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration
TIMEOUT_SECONDS = 15.0
DENIED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def config(kafka: Kafka, service: str, generation: str = "a") -> dict[str, Any]:
    return dict(client_config(ProcessSettings(service=service), kafka.settings(service, generation)))


def error_of(call: Callable[[], object]) -> int | None:
    """Return the code of Kafka's error; None if there is none."""
    try:
        call()
    except KafkaException as error:
        return int(error.args[0].code())
    return None


def write_error(kafka: Kafka, service: str, topic: str, generation: str = "a") -> int | None:
    errors: list[KafkaError] = []
    options = {"enable.idempotence": "true", "acks": "all", "delivery.timeout.ms": 10_000}
    producer = Producer(config(kafka, service, generation) | options)
    producer.produce(topic, b"x", b"key", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(TIMEOUT_SECONDS) == 0
    return errors[0].code() if errors[0] else None


def read_error(kafka: Kafka, service: str, topic: str, group: str) -> int | None:
    """Read the first record and commit its offset, as a consumer does; return the error that prevents it."""
    options = {"group.id": group, "enable.auto.commit": "false", "auto.offset.reset": "earliest"}
    consumer = Consumer(config(kafka, service) | options)
    partition = TopicPartition(topic, 0, 0)
    try:
        # A consumer that is assigned an invisible topic waits for its leader without an error.
        if error := error_of(lambda: consumer.get_watermark_offsets(partition, timeout=TIMEOUT_SECONDS)):
            return error
        consumer.assign([partition])
        message = consumer.poll(TIMEOUT_SECONDS)
        assert message is not None, topic
        if failure := message.error():
            return failure.code()
        return error_of(lambda: consumer.commit(message, asynchronous=False))
    finally:
        consumer.close()


def write_record(kafka: Kafka, topic: str) -> None:
    """Write a record to the first partition, as a user who may do everything."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"x", b"key", partition=0)
    assert producer.flush(TIMEOUT_SECONDS) == 0


@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_service_writes_its_own_topics_only(clean_kafka: Kafka, generation: str) -> None:
    for topic in TOPICS:
        for service in ("campaigns", "whatsapp", "contacts"):
            error = write_error(clean_kafka, service, topic.name, generation)
            assert (error is None) == (service == topic.owner), (service, topic.name, error)
            assert error is None or error in DENIED | {KafkaError.CLUSTER_AUTHORIZATION_FAILED}


def test_each_service_reads_what_it_consumes_only(clean_kafka: Kafka) -> None:
    for topic in TOPICS:
        write_record(clean_kafka, topic.name)
        for service in ("campaigns", "whatsapp"):
            error = read_error(clean_kafka, service, topic.name, consumer_group(service))
            assert (error is None) == (service in topic.consumers), (service, topic.name, error)
            # A topic that a service may not even describe has no partitions for it.
            assert error is None or error in {*DENIED, KafkaError._UNKNOWN_PARTITION}


def test_group_of_another_service_is_denied(clean_kafka: Kafka) -> None:
    write_record(clean_kafka, MESSAGE_STATUS.name)
    error = read_error(clean_kafka, "campaigns", MESSAGE_STATUS.name, consumer_group("whatsapp"))
    assert error == KafkaError.GROUP_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    "topic", [MESSAGE_STATUS, MESSAGE_REQUESTED, retry_topic(MESSAGE_REQUESTED, "whatsapp")]
)
def test_service_cannot_delete_or_change_topics(clean_kafka: Kafka, topic: Any) -> None:
    admin = AdminClient(config(clean_kafka, "campaigns"))
    calls = (
        lambda: admin.delete_topics([topic.name])[topic.name].result(TIMEOUT_SECONDS),
        lambda: admin.create_partitions([NewPartitions(topic.name, 99)])[topic.name].result(TIMEOUT_SECONDS),
        lambda: admin.create_topics([NewTopic("own", 1, 1)])["own"].result(TIMEOUT_SECONDS),
    )
    assert {error_of(call) for call in calls} <= DENIED


def test_service_cannot_read_or_change_permissions(clean_kafka: Kafka) -> None:
    admin = AdminClient(config(clean_kafka, "whatsapp"))
    all_operations = AclBinding(
        ResourceType.TOPIC,
        "*",
        ResourcePatternType.LITERAL,
        "User:whatsapp-a",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    error = error_of(lambda: admin.create_acls([all_operations])[all_operations].result(TIMEOUT_SECONDS))
    assert error == KafkaError.CLUSTER_AUTHORIZATION_FAILED


def entries(admin: AdminClient) -> set[AclBinding]:
    any_entry = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type] # matches everything
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type] # as above
        None,  # type: ignore[arg-type] # as above
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    return set(admin.describe_acls(any_entry).result(TIMEOUT_SECONDS))


def test_applying_adds_what_is_missing_and_removes_what_is_not_declared(clean_kafka: Kafka) -> None:
    admin = clean_kafka.admin()
    declared = entries(admin)
    apply_permissions(admin, permissions(TOPICS))
    assert entries(admin) == declared, "applying twice changes nothing"
    dead_letters = dead_letter_topic(MESSAGE_STATUS, "campaigns").name
    try:
        apply_permissions(admin, permissions([MESSAGE_STATUS]))
        assert len(entries(admin)) == len(GENERATIONS) * 3
        assert write_error(clean_kafka, "campaigns", dead_letters) is not None
    finally:
        apply_permissions(admin, permissions(TOPICS))
    assert entries(admin) == declared
    assert write_error(clean_kafka, "campaigns", dead_letters) is None
