"""The consumer: batches from Kafka, an effect in one transaction, then the offsets.

- Order: a batch holds records as the partitions gave them and is handled before the next is taken.
- At least once: offsets are committed after the effect; a death in between repeats it, and the inbox
  suppresses that.
- A dependency that is away (`TemporaryError`): the partitions are held and tried again until it is back,
  while this member stays in its group. Nothing is skipped, and no attempt is used up.
- An event that fails for another reason: the batch is taken apart, each event tried alone, and the one that
  still fails waits in the retry topic of this service; after its budget it is a dead letter. The rest goes
  on.
- An event of a newer schema waits in the same way, but for hours: a consumer that knows it is on its way.
- Bytes that are no event are a dead letter at once.

What failed is written elsewhere before its offset is committed, so it is never in neither place; in both
after a death, and then the inbox suppresses the second.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.kit import trace
from services.kit.errors import TemporaryError
from services.kit.events import MalformedError, NewerSchemaError, decode
from services.kit.letters import Budget, Reason, Setback
from services.kit.retry import pause_before

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from services.kit.events import Incoming
    from services.kit.kafka import Publisher
    from services.kit.letters import Delivery
    from services.kit.source import KafkaSource

    Handler = Callable[[Sequence[Incoming]], Awaitable[None]]

CONSUMED = Counter("esq_consumed", "Records done with, whatever became of them", ["topic"])
RETRIED = Counter("esq_retried", "Records put off for another attempt", ["topic", "reason"])
DEAD = Counter("esq_dead", "Records that became dead letters", ["topic", "reason"])
log = logging.getLogger(__name__)


class Consumer:
    """Gives batches of events to a handler that stores effect and inbox in one transaction."""

    def __init__(  # noqa: PLR0913 - what it works with, and its limits by name
        self,
        source: KafkaSource,
        publisher: Publisher,
        handler: Handler,
        *,
        batch: int = 50,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._handler = handler
        self._batch = batch
        self._budget = budget or Budget()
        self._clock = clock
        self._waits = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop; the batch in hand is finished first."""
        while not stop.is_set():
            due, early = self._due(await self._source.take(self._batch))
            for partition in early:
                await self._source.hold(partition, partition[0].not_before - self._clock())
            if due:
                await self._handle(due)

    def _due(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[list[Delivery]]]:
        """Part what may be tried now from what has to wait, the latter by partition."""
        now = self._clock()
        due: list[Delivery] = []
        early: dict[tuple[str, int], list[Delivery]] = {}
        for each in deliveries:
            place = each.topic, each.partition
            if place in early or each.not_before > now:
                early.setdefault(place, []).append(each)
            else:
                due.append(each)
        return due, list(early.values())

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        """Let every record have its effect, or be written where it is tried again or looked at."""
        try:
            setbacks = await self._effects(deliveries)
            await self._write(setbacks)
        except TemporaryError as error:
            self._waits += 1
            log.warning("Batch waits, attempt %d: %s", self._waits, error, extra={"action": "consume"})
            await self._source.hold(deliveries, pause_before(self._waits + 1))
            return
        except Exception:
            # Whoever starts this again begins with them: a later offset committed would pass them over.
            await self._source.hold(deliveries, 0)
            raise
        self._waits = 0
        await self._source.commit(deliveries)
        for each in deliveries:
            CONSUMED.labels(each.topic).inc()
        for setback in setbacks:
            self._tell(setback)

    async def _effects(self, deliveries: Sequence[Delivery]) -> list[Setback]:
        """Handle the batch whole or, when that fails for good, one by one; return what has no effect."""
        readable, setbacks = _read(deliveries)
        try:
            await self._call([event for _, event in readable])
        except TemporaryError:
            raise
        except Exception:
            log.exception("A batch of %d failed; taking it apart", len(readable), extra={"action": "consume"})
            alone = [await self._alone(delivery, event) for delivery, event in readable]
            setbacks += [each for each in alone if each]
        return setbacks

    async def _alone(self, delivery: Delivery, event: Incoming) -> Setback | None:
        """Handle one event; return why not."""
        try:
            await self._call([event])
        except TemporaryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is kept and the rest goes on
            return Setback(delivery, Reason.FAILED, f"{type(error).__name__} in the handler")
        return None

    async def _call(self, events: Sequence[Incoming]) -> None:
        if events:
            with trace.within(trace.shared(event.traceparent for event in events)):
                await self._handler(events)

    async def _write(self, setbacks: Sequence[Setback]) -> None:
        """Have the brokers acknowledge what is to be tried again, and dead letters."""
        now = self._clock()
        if setbacks:
            records = [each.record(self._source.service, self._budget, now) for each in setbacks]
            await self._publisher.publish(records)

    def _tell(self, setback: Setback) -> None:
        """Count and log a setback that is written."""
        final = setback.is_final(self._budget)
        origin = setback.delivery.origin
        (DEAD if final else RETRIED).labels(origin.split("/", 1)[0], setback.reason).inc()
        log.log(
            logging.ERROR if final else logging.WARNING,
            "%s after attempt %d: %s",
            "A dead letter" if final else "To be tried again",
            setback.attempt,
            setback.detail,
            extra={"action": "dead" if final else "retry", "origin": origin, "reason": setback.reason},
        )


def _read(deliveries: Sequence[Delivery]) -> tuple[list[tuple[Delivery, Incoming]], list[Setback]]:
    """Part the events from what cannot be read here."""
    readable: list[tuple[Delivery, Incoming]] = []
    setbacks: list[Setback] = []
    for each in deliveries:
        try:
            readable.append((each, decode(each.payload)))
        except MalformedError as error:
            setbacks.append(Setback(each, Reason.MALFORMED, f"no event: {error}"))
        except NewerSchemaError as error:
            setbacks.append(Setback(each, Reason.NEWER, str(error)))
    return readable, setbacks
