"""How far a consumer group is behind: records and seconds, per topic, of the partitions of this member."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from prometheus_client import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Consumer

    from services.kit.letters import Delivery

MEASURE_SECONDS = 10.0
CALL_SECONDS = 1.0
LAG = Gauge("esq_consumer_lag", "Records not handled yet; add up over members", ["topic", "group"])
OLDEST = Gauge(
    "esq_consumer_oldest_seconds", "Age of the oldest record not handled, at most", ["topic", "group"]
)


class Lag:
    """Asks the brokers once in a while; what is held is not fetched, so what was fetched cannot tell."""

    def __init__(self, client: Consumer, group: str) -> None:
        self._client = client
        self._group = group
        self._due = 0.0
        self._written_at: dict[tuple[str, int], float] = {}
        self._topics: set[str] = set()

    def taken(self, deliveries: Iterable[Delivery]) -> None:
        """Remember how old the first record of each partition was: what was not handled is not older."""
        for each in reversed(list(deliveries)):
            self._written_at[each.topic, each.partition] = each.written_at

    def measure(self) -> None:
        """Set the metrics, when it is time for that; while brokers are away they stay as they are."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + MEASURE_SECONDS
        try:
            self._ask()
        except KafkaException:
            return

    def _ask(self) -> None:
        lags: Counter[str] = Counter(dict.fromkeys(self._topics, 0))
        ages: dict[str, float] = {}
        places = self._client.assignment()
        for place in self._client.committed(places, timeout=CALL_SECONDS) if places else ():
            low, high = self._client.get_watermark_offsets(place, timeout=CALL_SECONDS)
            waiting = high - max(low, place.offset)
            lags[place.topic] += waiting
            written_at = self._written_at.get((place.topic, place.partition))
            if waiting and written_at is not None:
                ages[place.topic] = max(ages.get(place.topic, 0.0), time.time() - written_at)
        for topic, lag in lags.items():
            LAG.labels(topic, self._group).set(lag)
            OLDEST.labels(topic, self._group).set(ages.get(topic, 0.0))
        self._topics |= lags.keys()
