"""Consumer lag of a group, per topic: number of unprocessed records, and the age of the oldest.

It is measured over connections of its own: on the consumer's connections each request would wait behind a
fetch that waits for records. The whole group is measured, so that unassigned partitions count as well.

The client is a consumer that never joins the group, and not an admin client: that of librdkafka 2.16 has no
group to look up again, and a request for a group's offsets crashes the process (SIGSEGV) when the coordinator
moves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from services.contracts import telemetry
from services.contracts.kafka_access import consumer_group
from services.contracts.topics import retry_topic
from services.kit.kafka.client import client_config
from services.kit.observability.metrics import gauge
from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.contracts.topics import Topic
    from services.kit.settings import KafkaSettings, ProcessSettings

    Partition = tuple[str, int]

MEASURE_INTERVAL_SECONDS = 10.0
CALL_TIMEOUT_SECONDS = 5.0
LAG = gauge(telemetry.CONSUMER_LAG)
OLDEST_AGE = gauge(telemetry.CONSUMER_OLDEST_AGE)
log = logging.getLogger(__name__)


class ConsumerLagMonitor:
    """Measures the lag periodically; while the brokers are unavailable the metrics keep their values."""

    def __init__(
        self,
        process: ProcessSettings,
        settings: KafkaSettings,
        topics: Sequence[Topic],
        batch_timestamps: Mapping[Partition, float],
    ) -> None:
        """Configure the monitor.

        Args:
            process: names the group.
            settings: addresses and credentials.
            topics: topics that the group reads, without its retry topics.
            batch_timestamps: the attribute of `KafkaConsumer`; no unprocessed record of a partition is older
                than its entry.
        """
        self._group = consumer_group(process.service)
        config = client_config(process, settings) | {"group.id": self._group, "enable.auto.commit": "false"}
        self._client = Consumer(config, logger=log)
        all_topics = [*topics, *(retry_topic(topic, process.service) for topic in topics)]
        self._names = [topic.name for topic in all_topics]
        self._partitions = [
            TopicPartition(topic.name, number) for topic in all_topics for number in range(topic.partitions)
        ]
        self._batch_timestamps = batch_timestamps

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until `stop` is set."""
        while not await sleep_unless_stopped(stop, MEASURE_INTERVAL_SECONDS):
            try:
                lags = await asyncio.to_thread(self._measure)
            except (KafkaException, TimeoutError) as error:
                log.warning("Consumer lag not measured: %s", error, extra={"action": "measure_lag"})
            else:
                self._export(lags)

    def _measure(self) -> dict[Partition, int]:
        """Return the number of unprocessed records of each partition."""
        committed = _offsets(self._client.committed(self._partitions, CALL_TIMEOUT_SECONDS))
        first_offsets, end_offsets = self._boundaries(OFFSET_BEGINNING), self._boundaries(OFFSET_END)
        return {
            partition: end_offsets[partition] - max(first_offsets[partition], committed[partition])
            for partition in end_offsets
        }

    def _boundaries(self, boundary: int) -> dict[Partition, int]:
        """Return the first or end offset of each partition, queried with one request per broker."""
        partitions = [
            TopicPartition(partition.topic, partition.partition, boundary) for partition in self._partitions
        ]
        return _offsets(self._client.offsets_for_times(partitions, CALL_TIMEOUT_SECONDS))

    def _export(self, lags: Mapping[Partition, int]) -> None:
        now = time.time()
        for name in self._names:
            pending = {partition: lag for partition, lag in lags.items() if partition[0] == name and lag > 0}
            ages = (
                now - self._batch_timestamps[partition]
                for partition in pending
                if partition in self._batch_timestamps
            )
            LAG.labels(name, self._group).set(sum(pending.values()))
            OLDEST_AGE.labels(name, self._group).set(max(ages, default=0.0))


def _offsets(partitions: Sequence[TopicPartition]) -> dict[Partition, int]:
    """Return the offset of each partition; raise when any has an error."""
    if errors := [partition.error for partition in partitions if partition.error]:
        raise KafkaException(errors[0])
    return {(partition.topic, partition.partition): partition.offset for partition in partitions}
