"""How far a consumer group is behind, per topic: records, and the age of the oldest of them.

Asked over connections of its own: on the consumer's, each question would wait behind a fetch that waits for
records itself. The whole group is asked about, so that partitions nobody has are counted as well.

It is a consumer that never joins the group, and no admin client: that of librdkafka 2.16 has no group to look
up again, and asked for a group's offsets it takes the process with it (SIGSEGV) when the coordinator moves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition
from prometheus_client import Gauge

from services.contracts.topics import retry_topic
from services.kit.kafka import client_config
from services.kit.retry import wait_or_stop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.contracts.topics import Topic
    from services.kit.settings import KafkaSettings, ProcessSettings

    Place = tuple[str, int]

MEASURE_SECONDS = 10.0
CALL_SECONDS = 5.0
LAG = Gauge("esq_consumer_lag", "Records the group has not handled; any member tells", ["topic", "group"])
OLDEST = Gauge(
    "esq_consumer_oldest_seconds",
    "Age of the oldest record not handled, at most, of this member",
    ["topic", "group"],
)
log = logging.getLogger(__name__)


class LagWatch:
    """Measures once in a while; while brokers are away the figures stay as they are.

    Args:
        process: whose group it is.
        settings: where the brokers are.
        topics: what the group reads, its retry topics aside.
        written_at: when the record was written, in seconds since 1970, that this member took last of each
            partition, as the first of a batch: what waits there is not older.
    """

    def __init__(
        self,
        process: ProcessSettings,
        settings: KafkaSettings,
        topics: Sequence[Topic],
        written_at: Mapping[Place, float],
    ) -> None:
        self._group = f"esq-{process.service}"
        config = client_config(process, settings) | {"group.id": self._group, "enable.auto.commit": "false"}
        self._client = Consumer(config, logger=log)
        read = [*topics, *(retry_topic(topic, process.service) for topic in topics)]
        self._names = [topic.name for topic in read]
        self._places = [TopicPartition(topic.name, n) for topic in read for n in range(topic.partitions)]
        self._written_at = written_at

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until told to stop."""
        while not await wait_or_stop(stop, MEASURE_SECONDS):
            try:
                lags = await asyncio.to_thread(self._ask)
            except (KafkaException, TimeoutError) as error:
                log.warning("Lag not measured: %s", error, extra={"action": "lag"})
            else:
                self._tell(lags)

    def _ask(self) -> dict[Place, int]:
        """Return how many records wait in each partition."""
        done = _offsets(self._client.committed(self._places, CALL_SECONDS))
        first, end = self._ends(OFFSET_BEGINNING), self._ends(OFFSET_END)
        return {place: end[place] - max(first[place], done[place]) for place in end}

    def _ends(self, which: int) -> dict[Place, int]:
        """Return where each partition begins or ends: asked as times, one question for each broker."""
        asked = [TopicPartition(it.topic, it.partition, which) for it in self._places]
        return _offsets(self._client.offsets_for_times(asked, CALL_SECONDS))

    def _tell(self, lags: Mapping[Place, int]) -> None:
        now = time.time()
        for name in self._names:
            waiting = {place: lag for place, lag in lags.items() if place[0] == name and lag > 0}
            ages = (now - self._written_at[place] for place in waiting if place in self._written_at)
            LAG.labels(name, self._group).set(sum(waiting.values()))
            OLDEST.labels(name, self._group).set(max(ages, default=0.0))


def _offsets(found: Sequence[TopicPartition]) -> dict[Place, int]:
    """Return the offset of each partition; one that was not told spoils all."""
    if errors := [it.error for it in found if it.error]:
        raise KafkaException(errors[0])
    return {(it.topic, it.partition): it.offset for it in found}
