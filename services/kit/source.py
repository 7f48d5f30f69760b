"""Where records come from: a member of a consumer group that can put partitions off and stays a member."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, cast

from confluent_kafka import Consumer as KafkaClient
from confluent_kafka import KafkaException, TopicPartition

from services.contracts.topics import retry_topic
from services.kit.kafka import client_config
from services.kit.letters import Delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from confluent_kafka import KafkaError, Message

    from services.contracts.topics import Topic
    from services.kit.settings import KafkaSettings, ProcessSettings

FETCH_SECONDS = 1.0
"""A broker that has nothing to give says so after this; partitions taken up meanwhile wait for it."""
POLL_SECONDS = 1.0
SESSION_MS = 10_000
"""A consumer not heard of for so long has its partitions given to others."""
log = logging.getLogger(__name__)
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class KafkaSource:
    """The group `esq-<service>` on topics and their retry topics; librdkafka is called in one thread.

    Attributes:
        service: who reads.
        written_at: when the record was written that came last as the first of a batch, by partition.
    """

    def __init__(
        self,
        config: dict[str, str | int],
        service: str,
        topics: Sequence[Topic],
        *,
        together_seconds: float,
    ) -> None:
        self.service = service
        self._together = together_seconds
        group = f"esq-{service}"
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
                "fetch.wait.max.ms": round(FETCH_SECONDS * 1000),
                "error_cb": self._on_error,
            },
            logger=log,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._trouble: str | None = "no Kafka broker has answered yet"
        self._held: dict[tuple[str, int], float] = {}
        self.written_at: dict[tuple[str, int], float] = {}
        names = [name for topic in topics for name in (topic.name, retry_topic(topic, service).name)]
        self._client.subscribe(names, on_revoke=self._on_gone, on_lost=self._on_gone)

    async def take(self, most: int) -> list[Delivery]:
        """Wait up to a second for records; return those that are there, at most so many."""
        return await self._in_thread(self._take, most)

    async def hold(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Have these again, and what follows them in their partitions, after so many seconds.

        Meanwhile `take` keeps this member in its group and brings what other partitions have.
        """
        await self._in_thread(self._hold, deliveries, seconds)

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
        # consume() waits its whole time for a full batch: the first is awaited alone, others a moment.
        first = self._client.poll(self._resume())
        if first is None:
            return []
        messages = [first, *self._client.consume(most - 1, timeout=self._together)] if most > 1 else [first]
        deliveries = [delivery_of(message) for message in messages if not self._failed(message)]
        self.written_at.update(_first_written(deliveries))
        return deliveries

    def _resume(self) -> float:
        """Take up what was held long enough; return how long to wait for records at most."""
        now = time.monotonic()
        due = [place for place, until in self._held.items() if until <= now]
        for place in due:
            del self._held[place]
        if due:
            self._client.resume([TopicPartition(*place) for place in due])
        return min([POLL_SECONDS, *(until - now for until in self._held.values())])

    def _hold(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        for (topic, number), offset in _firsts(deliveries).items():
            try:
                self._client.seek(TopicPartition(topic, number, offset))
            except KafkaException as error:
                # It is another's by now, who begins where we committed last.
                log.warning("Not held: %s", error, extra={"action": "hold"})
            else:
                self._client.pause([TopicPartition(topic, number)])
                self._held[topic, number] = time.monotonic() + seconds

    def _on_gone(self, client: KafkaClient, places: Iterable[TopicPartition]) -> None:
        for place in places:
            self.written_at.pop((place.topic, place.partition), None)
            if self._held.pop((place.topic, place.partition), None):
                # It would still be paused when it comes back, with nobody left who knows.
                client.resume([place])

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
        ends = {(each.topic, each.partition): each.offset + 1 for each in deliveries}
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


def _firsts(deliveries: Iterable[Delivery]) -> dict[tuple[str, int], int]:
    """Return the first offset of each partition."""
    firsts: dict[tuple[str, int], int] = {}
    for each in deliveries:
        firsts.setdefault((each.topic, each.partition), each.offset)
    return firsts


def _first_written(deliveries: Iterable[Delivery]) -> dict[tuple[str, int], float]:
    """Return when the first record of each partition was written."""
    written: dict[tuple[str, int], float] = {}
    for each in deliveries:
        written.setdefault((each.topic, each.partition), each.written_at)
    return written


def delivery_of(message: Message) -> Delivery:
    """Copy what matters out of librdkafka's message."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise TypeError("a record without a place: error events are sorted out before")
    # What comes are pairs with bytes; the client's stubs tell what may be given as well.
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    headers = {name: value or b"" for name, value in pairs}
    _, milliseconds = message.timestamp()
    return Delivery(topic, partition, offset, message.key(), message.value(), headers, milliseconds / 1000)


@asynccontextmanager
async def open_source(
    process: ProcessSettings,
    settings: KafkaSettings,
    topics: Sequence[Topic],
    *,
    together_seconds: float = 0.05,
) -> AsyncIterator[KafkaSource]:
    """Join the group of the service for as long as the block lasts.

    Args:
        process: names the group.
        settings: where the brokers are.
        topics: what is read; their retry topics too.
        together_seconds: what comes within this after a first record makes one batch with it, whichever
            broker has it: a batch costs a transaction and a commit, however small it is. Records come
            together already, as the relays gather them.
    """
    config = client_config(process, settings)
    source = KafkaSource(config, process.service, topics, together_seconds=together_seconds)
    try:
        yield source
    finally:
        await source.close()
