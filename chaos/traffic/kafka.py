"""Traffic through Kafka: records into each partition of a topic of its own, read back while they come.

There is a lane per partition: partitions have different leaders, and a mean over all of them would hide the
one that waits for a new one. The client is librdkafka's idempotent producer, which tries again by itself: a
record counts as acknowledged when it says so, however late.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from chaos.traffic.batches import Batches
from chaos.traffic.timetable import Lane, Log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.traffic.batches import Settled
    from chaos.traffic.client import Endpoints

PARTITIONS = 3
"""As many as brokers, so that each leads one."""
DELIVERY_SECONDS = 60.0
ADMIN_SECONDS = 20.0
POLL_SECONDS = 0.2
LINGER_MS = 10
"""Long enough that what is sent together becomes one batch."""


class KafkaTraffic:
    """See `Client`."""

    def __init__(self, endpoints: Endpoints) -> None:
        where = endpoints.kafka
        self._topic = f"esq.chaos.{endpoints.run}"
        self._config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": where["bootstrap"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": where["mechanism"],
            "sasl.username": where["user"],
            "sasl.password": where["password"],
            "ssl.ca.pem": endpoints.authority,
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
                "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "request.timeout.ms": 5_000,
            }
        )
        # With several batches of a partition open, librdkafka may begin a new epoch when a leader changes and
        # write records again (its issue 4953): a flaw of the client, where the log is what is measured. With
        # a limit of one set in it, it would spin for as long as others wait.
        self._partitions = [Batches(partial(self._send, number)) for number in range(PARTITIONS)]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.passive: Sequence[Log] = [Log(f"kafka.read.{number}") for number in range(PARTITIONS)]

    async def open(self) -> None:
        """See `Client`."""
        await asyncio.to_thread(self._make_topic)
        loop = asyncio.get_running_loop()
        for name, work in (("produce", self._produce), ("consume", lambda: self._consume(loop))):
            self._threads.append(threading.Thread(target=work, name=f"kafka-{name}", daemon=True))
            self._threads[-1].start()

    def lanes(self) -> Sequence[Lane]:
        """See `Client`."""
        return tuple(
            Lane(
                Log(f"kafka.write.{number}"),
                lambda sequence, number=number: self._write(number, sequence),  # type: ignore[misc]  # a bound number
                deadline=DELIVERY_SECONDS,
                most=1000,
            )
            for number in range(PARTITIONS)
        )

    async def history(self) -> Mapping[str, Sequence[int]]:
        """See `Client`."""
        return await asyncio.to_thread(self._read_all)

    async def close(self) -> None:
        """See `Client`."""
        self._stop.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, ADMIN_SECONDS)
        await asyncio.to_thread(self._drop_topic)

    def _make_topic(self) -> None:
        topic = NewTopic(self._topic, PARTITIONS, 3, config={"min.insync.replicas": "2"})
        admin = AdminClient(self._config)  # without a name of its own it would end before it has its answer
        admin.create_topics([topic])[self._topic].result(ADMIN_SECONDS)

    def _drop_topic(self) -> None:
        admin = AdminClient(self._config)
        admin.delete_topics([self._topic])[self._topic].result(ADMIN_SECONDS)

    async def _write(self, partition: int, sequence: int) -> None:
        await self._partitions[partition].put(sequence)

    def _send(self, partition: int, sequence: int, settled: Settled) -> None:
        loop = asyncio.get_running_loop()

        def delivered(error: KafkaError | None, _: Message) -> None:
            loop.call_soon_threadsafe(settled, KafkaException(error) if error else None)

        self._producer.produce(self._topic, str(sequence), partition=partition, on_delivery=delivered)

    def _produce(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_SECONDS)

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
        try:
            while not self._stop.is_set():
                message = consumer.poll(POLL_SECONDS)
                if message is not None and message.error() is None:
                    now, value = loop.time(), int(message.value() or b"0")
                    self.passive[message.partition() or 0].succeed(value, now, now)
        finally:
            consumer.close()

    def _read_all(self) -> dict[str, list[int]]:
        consumer = Consumer(self._config | {"group.id": self._topic, "enable.auto.commit": "false"})
        try:
            return {f"kafka.write.{number}": self._read(consumer, number) for number in range(PARTITIONS)}
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, number: int) -> list[int]:
        """Return the values of a partition up to its present end, each record once.

        Records are told apart by their offset: what is asked is what the log holds, not how often it was
        read.
        """
        place = TopicPartition(self._topic, number, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=ADMIN_SECONDS)
        consumer.assign([place])
        values: dict[int, int] = {}
        while consumer.position([place])[0].offset < end:
            message = consumer.poll(ADMIN_SECONDS)
            if message is None:
                raise TimeoutError(f"{self._topic}-{number} is silent before its end")
            if error := message.error():
                raise KafkaException(error)
            values[message.offset() or 0] = int(message.value() or b"0")
        return list(values.values())
