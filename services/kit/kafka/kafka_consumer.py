"""Member of a Kafka consumer group that can pause partitions without leaving the group."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, cast

from confluent_kafka import Consumer, KafkaException, TopicPartition

from services.contracts.kafka_access import consumer_group
from services.contracts.topics import retry_topic
from services.kit.kafka.client import client_config
from services.kit.kafka.failed_records import ConsumedRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from confluent_kafka import KafkaError, Message

    from services.contracts.topics import Topic
    from services.kit.settings import KafkaSettings, ProcessSettings

FETCH_WAIT_SECONDS = 1.0
"""A broker without new records answers a fetch after this; partitions resumed meanwhile wait for it."""
POLL_TIMEOUT_SECONDS = 1.0
SESSION_TIMEOUT_MS = 10_000
"""A consumer that is silent for longer loses its partitions to other members."""
log = logging.getLogger(__name__)
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class KafkaConsumer:
    """Consumer of topics and their retry topics in the group `esq-<service>`; calls librdkafka in one thread.

    Attributes:
        service: name of the service.
        batch_timestamps: write time of the first record of the latest batch of each partition, in seconds
            since 1970.
    """

    def __init__(
        self,
        config: dict[str, str | int],
        service: str,
        topics: Sequence[Topic],
        *,
        linger_seconds: float,
    ) -> None:
        self.service = service
        self._linger_seconds = linger_seconds
        self._client = Consumer(
            config
            | {
                "group.id": consumer_group(service),
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 2_000,
                "queued.max.messages.kbytes": 8_192,
                "queued.min.messages": 2_000,
                "fetch.wait.max.ms": round(FETCH_WAIT_SECONDS * 1000),
                "error_cb": self._on_error,
            },
            logger=log,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._problem: str | None = "no Kafka broker has answered yet"
        self._paused_until: dict[tuple[str, int], float] = {}
        self.batch_timestamps: dict[tuple[str, int], float] = {}
        names = [name for topic in topics for name in (topic.name, retry_topic(topic, service).name)]
        self._client.subscribe(names, on_revoke=self._on_partitions_lost, on_lost=self._on_partitions_lost)

    async def poll(self, max_records: int) -> list[ConsumedRecord]:
        """Wait up to a second for records; return those available, at most `max_records`."""
        return await self._in_thread(self._poll, max_records)

    async def pause(self, records: Sequence[ConsumedRecord], seconds: float) -> None:
        """Rewind the partitions of the records and pause them.

        Meanwhile `poll` keeps this member in its group and returns records of other partitions.

        Args:
            records: records to receive again, with those that follow them.
            seconds: length of the pause.
        """
        await self._in_thread(self._pause, records, seconds)

    async def commit(self, records: Sequence[ConsumedRecord]) -> None:
        """Commit the offsets of handled records."""
        await self._in_thread(self._commit, records)

    async def close(self) -> None:
        """Leave the group, so that other members take over at once."""
        await self._in_thread(self._client.close)
        self._thread.shutdown(wait=False)

    def readiness_problem(self) -> str | None:
        """Return why no records can be received, or None."""
        return self._problem

    async def _in_thread(self, call: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _poll(self, max_records: int) -> list[ConsumedRecord]:
        if self._problem:
            self._check_brokers()
        # consume() waits its whole timeout for a full batch: wait for the first record alone, then briefly.
        first = self._client.poll(self._resume_due())
        if first is None:
            return []
        messages = [first]
        if max_records > 1:
            messages += self._client.consume(max_records - 1, timeout=self._linger_seconds)
        records = [to_consumed_record(message) for message in messages if not self._is_error(message)]
        self.batch_timestamps.update(_first_timestamps(records))
        return records

    def _resume_due(self) -> float:
        """Resume partitions whose pause is over; return the timeout of the next poll in seconds."""
        now = time.monotonic()
        due = [partition for partition, until in self._paused_until.items() if until <= now]
        for partition in due:
            del self._paused_until[partition]
        if due:
            self._client.resume([TopicPartition(*partition) for partition in due])
        return min([POLL_TIMEOUT_SECONDS, *(until - now for until in self._paused_until.values())])

    def _pause(self, records: Sequence[ConsumedRecord], seconds: float) -> None:
        for (topic, number), offset in _first_offsets(records).items():
            try:
                self._client.seek(TopicPartition(topic, number, offset))
            except KafkaException as error:
                # Another member has the partition now and starts at the last committed offset.
                log.warning("Partition not paused: %s", error, extra={"action": "pause_partition"})
            else:
                self._client.pause([TopicPartition(topic, number)])
                self._paused_until[topic, number] = time.monotonic() + seconds

    def _on_partitions_lost(self, client: Consumer, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self.batch_timestamps.pop((partition.topic, partition.partition), None)
            if self._paused_until.pop((partition.topic, partition.partition), None):
                # It would still be paused when it is assigned again, and nothing would resume it.
                client.resume([partition])

    def _check_brokers(self) -> None:
        """Clear the problem when a broker answers; joining the group may still wait for a dead member."""
        try:
            self._client.list_topics(timeout=POLL_TIMEOUT_SECONDS)
        except KafkaException:
            return
        self._problem = None

    def _is_error(self, message: Message) -> bool:
        """Return whether the message is an error event, and log it."""
        error = message.error()
        if error is not None:
            log.warning("Kafka error event: %s", error.str(), extra={"action": "consume"})
        return error is not None

    def _commit(self, records: Sequence[ConsumedRecord]) -> None:
        ends = {(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
        try:
            self._client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Another member may have the partitions now: it repeats the batch, and the inbox filters it.
            log.warning("Offsets not committed: %s", error, extra={"action": "commit"})

    def _on_error(self, error: KafkaError) -> None:
        log.warning("Kafka client: %s", error.str(), extra={"action": "consume"})
        if error.name() == "_ALL_BROKERS_DOWN":
            self._problem = "no Kafka broker is available"


def _first_offsets(records: Iterable[ConsumedRecord]) -> dict[tuple[str, int], int]:
    """Return the first offset of each partition."""
    offsets: dict[tuple[str, int], int] = {}
    for record in records:
        offsets.setdefault((record.topic, record.partition), record.offset)
    return offsets


def _first_timestamps(records: Iterable[ConsumedRecord]) -> dict[tuple[str, int], float]:
    """Return the timestamp of the first record of each partition."""
    timestamps: dict[tuple[str, int], float] = {}
    for record in records:
        timestamps.setdefault((record.topic, record.partition), record.timestamp)
    return timestamps


def to_consumed_record(message: Message) -> ConsumedRecord:
    """Return a message of librdkafka as a record.

    Raises:
        TypeError: the message is an error event, which has no topic, partition or offset.
    """
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise TypeError("a message without topic, partition or offset: filter error events out before")
    # Received headers are pairs with bytes; the stubs also allow the forms that can be produced.
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    headers = {name: value or b"" for name, value in pairs}
    _, milliseconds = message.timestamp()
    return ConsumedRecord(
        topic, partition, offset, message.key(), message.value(), headers, milliseconds / 1000
    )


@asynccontextmanager
async def open_kafka_consumer(
    process: ProcessSettings,
    settings: KafkaSettings,
    topics: Sequence[Topic],
    *,
    linger_seconds: float = 0.05,
) -> AsyncIterator[KafkaConsumer]:
    """Join the consumer group of the service for the duration of the block.

    Args:
        process: names the group.
        settings: addresses and credentials.
        topics: topics to read; their retry topics are read too.
        linger_seconds: records that arrive within this time after the first, from any broker, join its batch:
            a batch costs a transaction and a commit, however small it is. Records arrive in bursts already,
            as the relays publish batches.

    Yields:
        The consumer.
    """
    config = client_config(process, settings)
    kafka_consumer = KafkaConsumer(config, process.service, topics, linger_seconds=linger_seconds)
    try:
        yield kafka_consumer
    finally:
        await kafka_consumer.close()
