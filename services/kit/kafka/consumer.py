"""Event consumer: reads batches from Kafka, applies the effect in one transaction, then commits the offsets.

- Order: a batch contains records in partition order and is handled before the next one is polled.
- At least once: offsets are committed after the effect; after a crash in between the batch is repeated, and
  the inbox filters it out.
- A dependency is unavailable (`TemporaryError`): the partitions are paused and retried until it is back,
  while this member stays in its group. Nothing is skipped, and no attempt is counted.
- An event fails for another reason: the batch is split, each event is handled alone, and those that still
  fail go to the retry topic of this service; after `RetryPolicy.max_attempts` they become dead letters. The
  other events proceed.
- An event of an unknown schema version is retried the same way, but for hours: a consumer that knows the
  version is being deployed.
- A payload that is not an event becomes a dead letter at once.

A failed record is written to its new topic before its offset is committed, so it is never lost. After a
crash in between it may exist twice, and the inbox filters out the second one.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from services.contracts import telemetry
from services.kit.errors import TemporaryError
from services.kit.kafka.client import messaging_span
from services.kit.kafka.envelope import MalformedEventError, UnknownSchemaVersionError, decode
from services.kit.kafka.failed_records import FailedRecord, Reason, RetryPolicy
from services.kit.observability.metrics import counter
from services.kit.retry import backoff_seconds

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from services.kit.kafka.client import Publisher
    from services.kit.kafka.envelope import InboundEvent
    from services.kit.kafka.failed_records import ConsumedRecord
    from services.kit.kafka.kafka_consumer import KafkaConsumer

    Handler = Callable[[Sequence[InboundEvent]], Awaitable[None]]

RECORDS = counter(telemetry.CONSUMER_RECORDS)
RETRIES = counter(telemetry.CONSUMER_RETRIES)
DEAD_LETTERS = counter(telemetry.CONSUMER_DEAD_LETTERS)
log = logging.getLogger(__name__)


class EventConsumer:
    """Passes batches of events to a handler that stores effect and inbox in one transaction."""

    def __init__(  # noqa: PLR0913 - its collaborators, and its limits by name
        self,
        kafka_consumer: KafkaConsumer,
        publisher: Publisher,
        handler: Handler,
        *,
        batch_size: int = 50,
        retry_policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the consumer.

        Args:
            kafka_consumer: source of the records.
            publisher: publishes failed records.
            handler: applies the effect of a batch.
            batch_size: upper bound of records per batch.
            retry_policy: attempts and backoff of failed records.
            clock: current time in seconds since 1970.
        """
        self._kafka_consumer = kafka_consumer
        self._publisher = publisher
        self._handler = handler
        self._batch_size = batch_size
        self._retry_policy = retry_policy or RetryPolicy()
        self._clock = clock
        self._failed_attempts = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; the current batch is completed first."""
        while not stop.is_set():
            due_records, early_records = self._split_due(await self._kafka_consumer.poll(self._batch_size))
            for partition_records in early_records:
                delay = partition_records[0].not_before - self._clock()
                await self._kafka_consumer.pause(partition_records, delay)
            if due_records:
                await self._process(due_records)

    def _split_due(
        self, records: Sequence[ConsumedRecord]
    ) -> tuple[list[ConsumedRecord], list[list[ConsumedRecord]]]:
        """Separate records that are due from those that must wait, the latter by partition."""
        now = self._clock()
        due_records: list[ConsumedRecord] = []
        early_records: dict[tuple[str, int], list[ConsumedRecord]] = {}
        for record in records:
            partition = record.topic, record.partition
            if partition in early_records or record.not_before > now:
                early_records.setdefault(partition, []).append(record)
            else:
                due_records.append(record)
        return due_records, list(early_records.values())

    async def _process(self, records: Sequence[ConsumedRecord]) -> None:
        """Handle the records, publish those that failed, and commit the offsets."""
        try:
            failed_records = await self._handle_batch(records)
            await self._publish_failed(failed_records)
        except TemporaryError as error:
            self._failed_attempts += 1
            log.warning(
                "Batch will be retried after attempt %d: %s",
                self._failed_attempts,
                error,
                extra={"action": "consume"},
            )
            await self._kafka_consumer.pause(records, backoff_seconds(self._failed_attempts + 1))
            return
        except Exception:
            # Rewind for the restart of this task: committing a later offset would skip these records.
            await self._kafka_consumer.pause(records, 0)
            raise
        self._failed_attempts = 0
        await self._kafka_consumer.commit(records)
        for record in records:
            RECORDS.labels(record.topic).inc()
        for failed_record in failed_records:
            self._record_failure(failed_record)

    async def _handle_batch(self, records: Sequence[ConsumedRecord]) -> list[FailedRecord]:
        """Handle the batch at once or, when that fails permanently, one by one; return the failed records."""
        decoded, failed_records = _decode_records(records)
        try:
            await self._invoke_handler(decoded)
        except TemporaryError:
            raise
        except Exception:
            log.exception(
                "A batch of %d events failed; handling them one by one",
                len(decoded),
                extra={"action": "consume"},
            )
            results = [await self._handle_one(record, event) for record, event in decoded]
            failed_records += [failed_record for failed_record in results if failed_record]
        return failed_records

    async def _handle_one(self, record: ConsumedRecord, event: InboundEvent) -> FailedRecord | None:
        """Handle one event; return the failed record, if it failed."""
        try:
            await self._invoke_handler([(record, event)])
        except TemporaryError:
            raise
        except Exception as error:  # noqa: BLE001 - on any error the record is retried and the others proceed
            return FailedRecord(record, Reason.FAILED, f"{type(error).__name__} in the handler")
        return None

    async def _invoke_handler(self, decoded: Sequence[tuple[ConsumedRecord, InboundEvent]]) -> None:
        if decoded:
            topics = sorted({record.topic for record, _ in decoded})
            traceparents = [event.traceparent for _, event in decoded]
            with messaging_span("process", topics, traceparents, SpanKind.CONSUMER):
                await self._handler([event for _, event in decoded])

    async def _publish_failed(self, failed_records: Sequence[FailedRecord]) -> None:
        """Publish failed records to their retry or dead-letter topics."""
        now = self._clock()
        if failed_records:
            service = self._kafka_consumer.service
            records = [
                failed_record.to_record(service, self._retry_policy, now) for failed_record in failed_records
            ]
            await self._publisher.publish(records)

    def _record_failure(self, failed_record: FailedRecord) -> None:
        """Count and log a failed record that was published."""
        is_final = failed_record.is_final(self._retry_policy)
        origin = failed_record.consumed.origin
        counter = DEAD_LETTERS if is_final else RETRIES
        counter.labels(origin.split("/", 1)[0], failed_record.reason).inc()
        log.log(
            logging.ERROR if is_final else logging.WARNING,
            "%s after attempt %d: %s",
            "Dead letter" if is_final else "Will be retried",
            failed_record.attempt,
            failed_record.detail,
            extra={
                "action": "dead_letter" if is_final else "retry",
                "origin": origin,
                "reason": failed_record.reason,
            },
        )


def _decode_records(
    records: Sequence[ConsumedRecord],
) -> tuple[list[tuple[ConsumedRecord, InboundEvent]], list[FailedRecord]]:
    """Separate decoded events from records that cannot be decoded."""
    decoded: list[tuple[ConsumedRecord, InboundEvent]] = []
    failed_records: list[FailedRecord] = []
    for record in records:
        try:
            decoded.append((record, decode(record.payload)))
        except MalformedEventError as error:
            failed_records.append(FailedRecord(record, Reason.MALFORMED, f"not an event: {error}"))
        except UnknownSchemaVersionError as error:
            failed_records.append(FailedRecord(record, Reason.UNKNOWN_SCHEMA, str(error)))
    return decoded, failed_records
