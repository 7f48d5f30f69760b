"""Kafka: how clients are configured, and the producer; what blocks in librdkafka runs in a thread."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import KafkaException, Producer

from services.kit.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from services.kit.settings import KafkaSettings, ProcessSettings

DELIVERY_SECONDS = 10.0
"""Acknowledged by then or counted as not published; shorter than an idle transaction may last."""
log = logging.getLogger(__name__)


def client_config(process: ProcessSettings, settings: KafkaSettings) -> dict[str, str | int]:
    """Return what every client needs: brokers, TLS and login, quick reconnects, small buffers."""
    config: dict[str, str | int] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": f"esq-{process.service}",
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": "true",
        "socket.timeout.ms": 10_000,
        # The name of the brokers still gives the address of one that died with its node: on to the next soon.
        "socket.connection.setup.timeout.ms": 3_000,
        # A broker that is cut off from the others may still answer, as a leader that it is no more: ask them.
        "topic.metadata.refresh.interval.ms": 10_000,
        "log_level": 3,
    }
    protocol = "SASL" if settings.kafka_username else ""
    if settings.kafka_username and settings.kafka_password:
        config["sasl.mechanism"] = settings.kafka_mechanism
        config["sasl.username"] = settings.kafka_username
        config["sasl.password"] = settings.kafka_password.get_secret_value()
    if process.ca_file:
        config["ssl.ca.location"] = str(process.ca_file)
    transport = "SSL" if process.ca_file else "PLAINTEXT"
    config["security.protocol"] = f"{protocol}_{transport}".lstrip("_")
    return config


@dataclass(frozen=True)
class Record:
    """Bytes for a topic.

    Attributes:
        topic: name of the topic.
        key: decides the partition.
        payload: an encoded envelope; None takes the key out of a compacted topic.
        headers: what is told beside it.
    """

    topic: str
    key: str | bytes | None
    payload: bytes | None
    headers: Mapping[str, str | bytes] = field(default_factory=dict)


class Publisher(Protocol):
    """Port: hands records to the brokers."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged by all in-sync replicas, in order per key.

        Raises:
            TemporaryError: at least one was not; some may have been.
        """
        ...


class KafkaPublisher:
    """An idempotent producer that waits for the acknowledgement of each batch."""

    def __init__(self, config: dict[str, str | int]) -> None:
        self._config = config | {
            "enable.idempotence": "true",
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
            "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
            "queue.buffering.max.messages": 20_000,
            "queue.buffering.max.kbytes": 16_384,
        }
        self._producer = Producer(self._config, logger=log)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-producer")

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher`."""
        loop = asyncio.get_running_loop()
        acknowledged, trouble = await loop.run_in_executor(self._thread, self._publish, records)
        if acknowledged < len(records):
            missing = len(records) - acknowledged
            raise TemporaryError(f"{missing} of {len(records)} records not acknowledged: {trouble}")

    def _publish(self, records: Sequence[Record]) -> tuple[int, str]:
        """Hand over and wait; return how many were acknowledged, and what went wrong with the others."""
        acknowledged = 0
        troubles: list[str] = []
        fatal = False

        def report(error: KafkaError | None, _message: Message) -> None:
            nonlocal acknowledged, fatal
            if error is None:
                acknowledged += 1
            else:
                troubles.append(error.str())
                fatal = fatal or error.fatal()

        try:
            for record in records:
                self._producer.produce(
                    record.topic,
                    record.payload,
                    record.key,
                    headers=dict(record.headers),
                    on_delivery=report,
                )
        except (KafkaException, BufferError) as error:
            troubles.append(str(error))
        self._producer.flush(DELIVERY_SECONDS + 1)
        if fatal:
            # An idempotent producer that lost its sequence refuses everything from then on.
            self._producer = Producer(self._config, logger=log)
        return acknowledged, troubles[0] if troubles else "no answer in time"

    def close(self) -> None:
        """Stop the thread; nothing waits in the producer between two batches."""
        self._thread.shutdown(wait=False)


@asynccontextmanager
async def open_publisher(process: ProcessSettings, settings: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    """Give a producer for as long as the block lasts; brokers need not be there yet."""
    publisher = KafkaPublisher(client_config(process, settings))
    try:
        yield publisher
    finally:
        publisher.close()
