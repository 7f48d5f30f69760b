"""Kafka client configuration and the producer; blocking calls of librdkafka run in a thread."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import KafkaException, Producer
from opentelemetry.trace import SpanKind

from services.contracts.telemetry import Attribute
from services.kit.errors import TemporaryError
from services.kit.observability import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from confluent_kafka import KafkaError, Message
    from opentelemetry.trace import Span

    from services.kit.settings import KafkaSettings, ProcessSettings

DELIVERY_TIMEOUT_SECONDS = 10.0
"""A record not acknowledged by then counts as unpublished; shorter than IDLE_TRANSACTION_TIMEOUT_SECONDS."""
log = logging.getLogger(__name__)


def client_config(process: ProcessSettings, settings: KafkaSettings) -> dict[str, str | int]:
    """Return the configuration of every client: brokers, TLS, login, fast reconnects, small buffers.

    Args:
        process: names the client and the CA file.
        settings: addresses and credentials.

    Returns:
        Configuration of librdkafka.
    """
    config: dict[str, str | int] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": f"esq-{process.service}",
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": "true",
        "socket.timeout.ms": 10_000,
        # DNS still returns the address of a broker that died with its node: try the next one soon.
        "socket.connection.setup.timeout.ms": 3_000,
        # A broker that is isolated from the others may still answer as a stale leader: refresh the metadata.
        "topic.metadata.refresh.interval.ms": 10_000,
        "log_level": 3,
    }
    authentication = "SASL" if settings.kafka_username else ""
    if settings.kafka_username and settings.kafka_password:
        config["sasl.mechanism"] = settings.kafka_mechanism
        config["sasl.username"] = settings.kafka_username
        config["sasl.password"] = settings.kafka_password.get_secret_value()
    if process.ca_file:
        config["ssl.ca.location"] = str(process.ca_file)
    transport = "SSL" if process.ca_file else "PLAINTEXT"
    config["security.protocol"] = f"{authentication}_{transport}".lstrip("_")
    return config


@dataclass(frozen=True)
class Record:
    """A record to publish.

    Attributes:
        topic: name of the topic.
        key: determines the partition.
        payload: an encoded envelope; None deletes the key from a compacted topic.
        headers: record headers.
    """

    topic: str
    key: str | bytes | None
    payload: bytes | None
    headers: Mapping[str, str | bytes] = field(default_factory=dict)


def header_text(headers: Mapping[str, str | bytes], name: str) -> str:
    """Return a record header as text; empty when it is missing.

    Args:
        headers: headers of the record.
        name: name of the header.
    """
    value = headers.get(name, "")
    return value if isinstance(value, str) else value.decode(errors="replace")


def messaging_span(
    operation: str, topics: Sequence[str], traceparents: Sequence[str], kind: SpanKind
) -> AbstractContextManager[Span]:
    """Return the span of a batch of records.

    Args:
        operation: `send` or `process`.
        topics: topics of the records.
        traceparents: what caused each record.
        kind: kind of the span.

    Returns:
        Context manager; see `tracing.batch_span`.
    """
    destination = ",".join(topics)
    attributes: dict[Attribute, str | int] = {
        Attribute.MESSAGING_SYSTEM: "kafka",
        Attribute.OPERATION: operation,
        Attribute.DESTINATION: destination,
        Attribute.BATCH: len(traceparents),
    }
    return tracing.batch_span(f"{operation} {destination}", traceparents, kind=kind, attributes=attributes)


class Publisher(Protocol):
    """Port: publishes records."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged by all in-sync replicas, in order per key.

        Raises:
            TemporaryError: at least one record was not acknowledged; others may have been published.
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
            "delivery.timeout.ms": int(DELIVERY_TIMEOUT_SECONDS * 1000),
            "queue.buffering.max.messages": 20_000,
            "queue.buffering.max.kbytes": 16_384,
        }
        self._producer = Producer(self._config, logger=log)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-producer")

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher.publish`."""
        loop = asyncio.get_running_loop()
        traceparents = [header_text(record.headers, tracing.TRACEPARENT_HEADER) for record in records]
        topics = sorted({record.topic for record in records})
        with messaging_span("send", topics, traceparents, SpanKind.PRODUCER):
            acknowledged, problem = await loop.run_in_executor(self._thread, self._publish, records)
            if acknowledged < len(records):
                missing = len(records) - acknowledged
                raise TemporaryError(f"{missing} of {len(records)} records not acknowledged: {problem}")

    def _publish(self, records: Sequence[Record]) -> tuple[int, str]:
        """Produce and wait; return the number of acknowledged records, and the first problem."""
        acknowledged = 0
        problems: list[str] = []
        fatal = False

        def _on_delivery(error: KafkaError | None, _message: Message) -> None:
            nonlocal acknowledged, fatal
            if error is None:
                acknowledged += 1
            else:
                problems.append(error.str())
                fatal = fatal or error.fatal()

        try:
            for record in records:
                self._producer.produce(
                    record.topic,
                    record.payload,
                    record.key,
                    headers=dict(record.headers),
                    on_delivery=_on_delivery,
                )
        except (KafkaException, BufferError) as error:
            problems.append(str(error))
        self._producer.flush(DELIVERY_TIMEOUT_SECONDS + 1)
        if fatal:
            # An idempotent producer that lost its sequence rejects all further records.
            self._producer = Producer(self._config, logger=log)
        return acknowledged, problems[0] if problems else "timed out"

    def close(self) -> None:
        """Stop the thread; the producer has no pending records between two batches."""
        self._thread.shutdown(wait=False)


@asynccontextmanager
async def open_publisher(process: ProcessSettings, settings: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    """Open a producer for the duration of the block; brokers need not be available yet.

    Args:
        process: names the client and the CA file.
        settings: addresses and credentials.

    Yields:
        The publisher.
    """
    publisher = KafkaPublisher(client_config(process, settings))
    try:
        yield publisher
    finally:
        publisher.close()
