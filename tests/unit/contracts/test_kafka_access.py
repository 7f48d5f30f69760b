"""Permissions of the services on Kafka: the whole table, so that a review sees each change."""

from __future__ import annotations

from services.contracts.kafka_access import permissions
from services.contracts.topics import TOPICS


def test_permissions_of_every_service() -> None:
    granted = {
        (permission.service, permission.operation, permission.name) for permission in permissions(TOPICS)
    }
    assert granted == {
        ("campaigns", "write", "message.requested"),
        ("campaigns", "read", "message.status"),
        ("campaigns", "read", "message.status.retry.campaigns"),
        ("campaigns", "write", "message.status.retry.campaigns"),
        ("campaigns", "read", "message.status.dlq.campaigns"),
        ("campaigns", "write", "message.status.dlq.campaigns"),
        ("campaigns", "read", "esq-campaigns"),
        ("whatsapp", "write", "message.status"),
        ("whatsapp", "read", "message.requested"),
        ("whatsapp", "read", "message.requested.retry.whatsapp"),
        ("whatsapp", "write", "message.requested.retry.whatsapp"),
        ("whatsapp", "read", "message.requested.dlq.whatsapp"),
        ("whatsapp", "write", "message.requested.dlq.whatsapp"),
        ("whatsapp", "read", "esq-whatsapp"),
    }


def test_every_topic_has_one_writer() -> None:
    writers = [permission.name for permission in permissions(TOPICS) if permission.operation == "write"]
    assert sorted(writers) == sorted(topic.name for topic in TOPICS)
