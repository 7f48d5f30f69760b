"""The consumer: batches from Kafka, an effect in one transaction, then the offsets.

- Order: a batch holds records as the partitions gave them and is handled before the next is taken.
- At least once: offsets are committed after the effect; a death in between repeats it, and the inbox
  suppresses that.
- What passes by itself (`TemporaryError`) is tried again until it does: nothing is skipped for an absent
  database.
- What does not: the batch is taken apart, each event tried alone, and the one that still fails is parked with
  its reason in the table `parked` for people; the rest goes on. Bytes that are no event are parked at once.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from confluent_kafka import Consumer as KafkaClient
from confluent_kafka import KafkaException, TopicPartition
from prometheus_client import Counter

from services.kit.errors import TemporaryError
from services.kit.events import Incoming, MalformedError, decode
from services.kit.kafka import client_config
from services.kit.retry import pause_before, wait_or_stop
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from confluent_kafka import KafkaError, Message

    from services.contracts.topics import Topic
    from services.kit.database import Database
    from services.kit.settings import KafkaSettings, ProcessSettings

    Handler = Callable[[Sequence[Incoming]], Awaitable[None]]

POLL_SECONDS = 1.0
SESSION_MS = 10_000
"""A consumer not heard of for so long has its partitions given to others."""
SQL = load_queries(Path(__file__).with_name("kit.sql"))
CONSUMED = Counter("esq_consumed", "Records handled", ["topic"])
PARKED = Counter("esq_parked", "Records put aside for people", ["topic"])
log = logging.getLogger(__name__)
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True)
class Delivery:
    """A record as it came.

    Attributes:
        topic: where it was read.
        partition: number within the topic.
        offset: position within the partition.
        key: as bytes.
        payload: as bytes.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    payload: bytes | None


class KafkaSource:
    """A member of a consumer group; every call of librdkafka runs in one thread of its own."""

    def __init__(self, config: dict[str, str | int], group: str, topics: Sequence[Topic]) -> None:
        self._client = KafkaClient(
            config
            | {
                "group.id": group,
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": 2_000,
                "queued.max.messages.kbytes": 8_192,
                "queued.min.messages": 2_000,
                "fetch.wait.max.ms": 500,
                "error_cb": self._on_error,
            },
            logger=log,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._trouble: str | None = "no Kafka broker has answered yet"
        self._client.subscribe([topic.name for topic in topics])

    async def take(self, most: int) -> list[Delivery]:
        """Wait up to a second for records; return those that are there, at most so many."""
        return await self._in_thread(self._take, most)

    async def commit(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the group that these are done."""
        await self._in_thread(self._commit, deliveries)

    async def close(self) -> None:
        """Leave the group, so that others take over at once."""
        await self._in_thread(self._client.close)
        self._thread.shutdown(wait=False)

    def reason(self) -> str | None:
        """Return why no records can come, or None."""
        return self._trouble

    async def _in_thread(self, call: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _take(self, most: int) -> list[Delivery]:
        if self._trouble:
            self._look_for_brokers()
        # consume() waits its whole time for a full batch, so the first record is awaited alone.
        first = self._client.poll(POLL_SECONDS)
        if first is None:
            return []
        messages = [first, *self._client.consume(most - 1, timeout=0)] if most > 1 else [first]
        return [_delivery(message) for message in messages if not self._failed(message)]

    def _look_for_brokers(self) -> None:
        """Take the trouble back when a broker answers; joining the group may yet wait for a dead member."""
        try:
            self._client.list_topics(timeout=POLL_SECONDS)
        except KafkaException:
            return
        self._trouble = None

    def _failed(self, message: Message) -> bool:
        """Log an error event; true when this is no record."""
        error = message.error()
        if error is not None:
            log.warning("Kafka reports: %s", error.str(), extra={"action": "consume"})
        return error is not None

    def _commit(self, deliveries: Sequence[Delivery]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for delivery in deliveries:
            ends[delivery.topic, delivery.partition] = delivery.offset + 1
        offsets = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
        try:
            self._client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The partitions may be another's by now: it repeats the batch, and the inbox suppresses that.
            log.warning("Offsets not committed: %s", error, extra={"action": "commit"})

    def _on_error(self, error: KafkaError) -> None:
        log.warning("Kafka client: %s", error.str(), extra={"action": "consume"})
        if error.name() == "_ALL_BROKERS_DOWN":
            self._trouble = "all Kafka brokers are away"


def _delivery(message: Message) -> Delivery:
    """Copy what matters out of librdkafka's message."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise TypeError("a record without a place: error events are sorted out before")
    return Delivery(topic, partition, offset, message.key(), message.value())


class Consumer:
    """Gives batches of events to a handler that stores effect and inbox in one transaction."""

    def __init__(
        self, source: KafkaSource, database: Database, handler: Handler, *, batch: int = 500
    ) -> None:
        self._source = source
        self._database = database
        self._handler = handler
        self._batch = batch

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop; the batch in hand is finished first."""
        while not stop.is_set():
            deliveries = await self._source.take(self._batch)
            if deliveries and await self.handle(deliveries, stop):
                await self._source.commit(deliveries)

    async def handle(self, deliveries: Sequence[Delivery], stop: asyncio.Event) -> bool:
        """Let every record have its effect or be parked; False when stopped before that."""
        attempt = 1
        while True:
            try:
                await self._handle_once(deliveries)
            except TemporaryError as error:
                attempt += 1
                log.warning("Batch waits, attempt %d: %s", attempt, error, extra={"action": "consume"})
                if await wait_or_stop(stop, pause_before(attempt)):
                    return False
            else:
                for delivery in deliveries:
                    CONSUMED.labels(delivery.topic).inc()
                return True

    async def _handle_once(self, deliveries: Sequence[Delivery]) -> None:
        """Handle the batch whole; when it fails for good, one by one."""
        events = [event for delivery in deliveries if (event := await self._decode(delivery))]
        try:
            if events:
                await self._handler(events)
        except TemporaryError:
            raise
        except Exception:
            log.exception("A batch of %d failed; taking it apart", len(events), extra={"action": "consume"})
            for delivery in deliveries:
                await self._handle_alone(delivery)

    async def _handle_alone(self, delivery: Delivery) -> None:
        """Handle one record; park it when it fails for good."""
        event = await self._decode(delivery)
        if event is None:
            return
        try:
            await self._handler([event])
        except TemporaryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is kept and the rest goes on
            await self._park(delivery, f"{type(error).__name__} in the handler")

    async def _decode(self, delivery: Delivery) -> Incoming | None:
        try:
            return decode(delivery.payload)
        except MalformedError as error:
            await self._park(delivery, f"no event: {error}")
            return None

    async def _park(self, delivery: Delivery, reason: str) -> None:
        """Keep the record and why it failed."""
        where = {"topic": delivery.topic, "partition": delivery.partition, "position": delivery.offset}
        async with self._database.work() as work:
            await work.run(
                SQL["park"], key=delivery.key, payload=delivery.payload, reason=reason[:500], **where
            )
            await work.commit()
        PARKED.labels(delivery.topic).inc()
        log.error("Parked a record: %s", reason, extra={"action": "park", **where})


@asynccontextmanager
async def open_source(
    process: ProcessSettings, settings: KafkaSettings, topics: Sequence[Topic]
) -> AsyncIterator[KafkaSource]:
    """Join the group `esq-<service>` for as long as the block lasts."""
    source = KafkaSource(client_config(process, settings), f"esq-{process.service}", topics)
    try:
        yield source
    finally:
        await source.close()
