"""The whole service: a request from Kafka is sent, and its status updates return on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer

from services.contracts.topics import MESSAGE_REQUESTED, MESSAGE_STATUS
from services.contracts.v1.events_pb2 import STATUS_READ, MessageRequested, MessagesRequested
from services.kit.ids import uuid7
from services.kit.kafka.dead_letters import KafkaDeadLetterStore
from services.kit.kafka.envelope import OutboundEvent, decode
from tests.servers.event_batches import flatten
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.integration.whatsapp.conftest import PlatformUnderTest
    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration


def publish(kafka: Kafka, count: int) -> list[str]:
    """Request messages, ten in an event, and each event twice as a relay may do."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    ids = [str(uuid7()) for _ in range(count)]
    requests = [
        MessageRequested(
            message_id=message,
            campaign_id="campaign",
            contact_id="1",
            connection="main",
            to="+5511999999999",
            text="Olá",
        )
        for message in ids
    ]
    for start in range(0, count, 10):
        event = MessagesRequested(requests=requests[start : start + 10])
        payload = OutboundEvent.create(MESSAGE_REQUESTED, "main", "acme", event).encode()
        for _ in range(2):
            producer.produce(MESSAGE_REQUESTED.name, payload, b"main")
    producer.flush(30)
    return ids


class StatusListener:
    """Collects the ids of messages with a status `read`."""

    def __init__(self, kafka: Kafka) -> None:
        self.read_ids: set[str] = set()
        self._consumer = Consumer(
            {"bootstrap.servers": kafka.bootstrap, "group.id": "listener", "auto.offset.reset": "earliest"}
        )
        self._consumer.subscribe([MESSAGE_STATUS.name])

    def poll(self) -> None:
        """Consume the available records."""
        for record in self._consumer.consume(500, timeout=0.5):
            if record.error() is None:
                self.read_ids |= {
                    event.message_id
                    for event in flatten([decode(record.value()).event])
                    if getattr(event, "status", 0) == STATUS_READ
                }

    def close(self) -> None:
        self._consumer.close()


def test_every_message_is_sent_once_and_its_read_status_published(
    platform: PlatformUnderTest, clean_kafka: Kafka
) -> None:
    api = platform.start("whatsapp", "api")
    platform.settings["ESQ_WEBHOOK_URL"] = f"{api.url}/webhooks/cloud"
    simulator = platform.start_simulator(
        latency={"median_ms": 5},
        sent={"median_ms": 20},
        delivered={"median_ms": 20},
        read={"median_ms": 20},
        read_rate=1,
        failed_rate=0,
        duplicate_rate=0.3,
        reorder_rate=0.3,
    )
    platform.put_connection(api)
    ids = publish(clean_kafka, 50)
    platform.start("whatsapp", "worker", **clean_kafka.account("whatsapp"))
    platform.start("whatsapp", "webhooks")
    platform.start("whatsapp", "dispatcher")
    listener = StatusListener(clean_kafka)

    def all_read() -> bool:
        listener.poll()
        return listener.read_ids >= set(ids)

    try:
        wait_until("every message has the status read", all_read, 90)
    finally:
        listener.close()
    assert set(platform.call(simulator, "POST", "/ledger/query", {"ids": ids}).values()) == {1}
    assert KafkaDeadLetterStore({"bootstrap.servers": clean_kafka.bootstrap}).list_unresolved() == []
