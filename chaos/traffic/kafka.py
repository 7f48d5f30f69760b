"""Traffic through Kafka: writes records to each partition of its own topic and consumes them.

There is one stream per partition: partitions have different leaders, and an average would hide the partition
that waits for a new leader. The client is librdkafka's idempotent producer, which retries automatically: a
record counts as acknowledged when librdkafka reports it, however late.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from chaos.traffic.inflight_batcher import SingleInflightBatcher
from chaos.traffic.open_loop import CorruptReadError, StaleReadError, Stream, StreamLog
from chaos.traffic.read_check import MonotonicReads, content, parse_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.client import Endpoints
    from chaos.traffic.inflight_batcher import CompletionCallback

PARTITIONS = 3
"""One per broker, so that each broker leads one."""
DELIVERY_TIMEOUT_SECONDS = 60.0
ADMIN_TIMEOUT_SECONDS = 20.0
POLL_TIMEOUT_SECONDS = 0.2
_TOPIC_PREFIX = "esq.chaos."
_MAX_LEFT_TOPICS = 20
"""Limit of the topics of interrupted runs that a run deletes."""
LINGER_MS = 10
"""Long enough that records sent together form one batch."""


class KafkaTraffic:
    """Client of Kafka."""

    def __init__(self, endpoints: Endpoints) -> None:
        kafka = endpoints.kafka
        self._run = endpoints.run_name
        self._topic = f"{_TOPIC_PREFIX}{endpoints.run_name}"
        self._config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": kafka["bootstrap"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": kafka["mechanism"],
            "sasl.username": kafka["user"],
            "sasl.password": kafka["password"],
            "ssl.ca.pem": endpoints.ca_certificate,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 500,
            "socket.timeout.ms": 5_000,
            "socket.connection.setup.timeout.ms": 2_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            "log_level": 0,
        }
        self._producer = Producer(
            self._config
            | {
                "enable.idempotence": "true",
                "acks": "all",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_SECONDS * 1000),
                "request.timeout.ms": 5_000,
            }
        )
        # With several batches of a partition in flight, librdkafka may start a new epoch when the leader
        # changes and write records twice (librdkafka issue 4953), a defect of the client, not of the log.
        # With its own limit of one batch in flight, librdkafka busy-waits while other batches wait.
        self._batchers = [SingleInflightBatcher(partial(self._send, number)) for number in range(PARTITIONS)]
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.passive: Sequence[StreamLog] = [
            StreamLog(f"kafka.read.{number}") for number in range(PARTITIONS)
        ]

    async def open(self) -> None:
        """See `Client.open`."""
        await asyncio.to_thread(self._create_topic)
        loop = asyncio.get_running_loop()
        for name, target in (("produce", self._produce), ("consume", lambda: self._consume(loop))):
            self._threads.append(threading.Thread(target=target, name=f"kafka-{name}", daemon=True))
            self._threads[-1].start()

    def streams(self) -> Sequence[Stream]:
        """See `Client.streams`."""
        return tuple(
            Stream(
                StreamLog(f"kafka.write.{number}"),
                lambda sequence, number=number: self._write(number, sequence),  # type: ignore[misc]  # a bound number
                deadline=DELIVERY_TIMEOUT_SECONDS,
                max_open=1000,
            )
            for number in range(PARTITIONS)
        )

    async def stored_sequence(self) -> Mapping[str, Sequence[int]]:
        """See `Client.stored_sequence`."""
        return await asyncio.to_thread(self._read_all)

    async def close(self) -> None:
        """See `Client.close`."""
        self._stopping.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, ADMIN_TIMEOUT_SECONDS)
        await asyncio.to_thread(self._delete_topics, [self._topic])

    def _create_topic(self) -> None:
        topic = NewTopic(self._topic, PARTITIONS, 3, config={"min.insync.replicas": "2"})
        admin = AdminClient(self._config)  # a temporary object would be destroyed before the response
        topics = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).topics
        left = [name for name in topics if name.startswith(_TOPIC_PREFIX)][:_MAX_LEFT_TOPICS]
        self._delete_topics(left)
        admin.create_topics([topic])[self._topic].result(ADMIN_TIMEOUT_SECONDS)

    def _delete_topics(self, names: Sequence[str]) -> None:
        if not names:  # librdkafka refuses an empty list
            return
        admin = AdminClient(self._config)
        for deleted in admin.delete_topics(list(names)).values():
            deleted.result(ADMIN_TIMEOUT_SECONDS)

    async def _write(self, partition: int, sequence: int) -> None:
        await self._batchers[partition].put(sequence)

    def _send(self, partition: int, sequence: int, done: CompletionCallback) -> None:
        loop = asyncio.get_running_loop()

        def _on_delivery(error: KafkaError | None, _: Message) -> None:
            loop.call_soon_threadsafe(done, KafkaException(error) if error else None)

        value = content(self._run, sequence)
        self._producer.produce(self._topic, value, partition=partition, on_delivery=_on_delivery)

    def _produce(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_TIMEOUT_SECONDS)

    def _consume(self, loop: asyncio.AbstractEventLoop) -> None:
        consumer = Consumer(
            self._config
            | {
                "group.id": self._topic,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": "false",
                "fetch.wait.max.ms": 100,
            }
        )
        consumer.assign([TopicPartition(self._topic, number, 0) for number in range(PARTITIONS)])
        reads = [MonotonicReads() for _ in range(PARTITIONS)]
        try:
            while not self._stopping.is_set():
                message = consumer.poll(POLL_TIMEOUT_SECONDS)
                if message is not None and message.error() is None:
                    number = message.partition() or 0
                    sequence = parse_content(self._run, message.value())
                    record_read(sequence, self.passive[number], reads[number], loop.time())
        finally:
            consumer.close()

    def _read_all(self) -> dict[str, list[int]]:
        consumer = Consumer(self._config | {"group.id": self._topic, "enable.auto.commit": "false"})
        try:
            return {f"kafka.write.{number}": self._read(consumer, number) for number in range(PARTITIONS)}
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, number: int) -> list[int]:
        """Return the values of a partition up to its current end, each record once.

        Records are identified by their offset: the content of the log is measured, not the number of reads.
        """
        partition = TopicPartition(self._topic, number, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=ADMIN_TIMEOUT_SECONDS)
        consumer.assign([partition])
        values: dict[int, int] = {}
        while consumer.position([partition])[0].offset < end:
            message = consumer.poll(ADMIN_TIMEOUT_SECONDS)
            if message is None:
                raise TimeoutError(f"{self._topic}-{number} returns no record before its end")
            if error := message.error():
                raise KafkaException(error)
            sequence = parse_content(self._run, message.value())
            if sequence is not None:
                values[message.offset() or 0] = sequence
        return list(values.values())


def record_read(sequence: int | None, log: StreamLog, reads: MonotonicReads, now: float) -> None:
    """Record a consumed record: it has to be one that was written, and in the order of its partition.

    Args:
        sequence: its number; None if no write has its content.
        log: log of the partition.
        reads: the records read before.
        now: time of the read.
    """
    if sequence is None:
        log.fail(CorruptReadError("a record has another content than was written"))
        return
    try:
        reads.check(sequence, reads.floor(-1))
    except StaleReadError as error:
        log.fail(error)
    else:
        log.succeed(sequence, now, now)
