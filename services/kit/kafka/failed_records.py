"""Records that failed: retried later through a retry topic, or published as dead letters.

The facts about the failure are in headers; key and payload stay unchanged. In a retry topic all records wait
equally long, so that the first record is also due first and none waits behind one with a longer delay. A dead
letter is keyed by its origin: an empty record with the same key says that it was replayed or discarded, and
compaction then removes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from services.contracts.topics import dead_letter_topic_name, retry_topic_name
from services.kit.kafka.client import Record
from services.kit.observability.tracing import TRACEPARENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGIN_HEADER, ATTEMPT_HEADER, REASON_HEADER, DETAIL_HEADER = (
    "esq-origin",
    "esq-attempt",
    "esq-reason",
    "esq-detail",
)
FAILED_AT_HEADER, NOT_BEFORE_HEADER, KEY_HEADER, RESOLUTION_HEADER = (
    "esq-failed-at",
    "esq-not-before",
    "esq-key",
    "esq-resolution",
)
MAX_DETAIL_LENGTH = 500


class Reason(StrEnum):
    """Reason of a failure; a metric label, so there are few values."""

    MALFORMED = "malformed"
    """The payload is not an event; a retry does not help."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """An event of a schema version that only a later version of the consumer knows."""
    FAILED = "failed"
    """The handler raised an error, and no dependency was unavailable."""


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts and backoff of failed records.

    Attributes:
        backoff_seconds: delay between two attempts, the same for all records.
        max_attempts: attempts at an event that the handler rejects: five minutes.
        max_attempts_unknown_schema: attempts at an event of an unknown schema version: six hours, for a
            deploy to complete or be rolled back.
    """

    backoff_seconds: float = 30.0
    max_attempts: int = 10
    max_attempts_unknown_schema: int = 720

    def max_attempts_for(self, reason: Reason) -> int:
        """Return the number of attempts after which a record becomes a dead letter."""
        return {
            Reason.MALFORMED: 1,
            Reason.UNKNOWN_SCHEMA: self.max_attempts_unknown_schema,
            Reason.FAILED: self.max_attempts,
        }[reason]


@dataclass(frozen=True)
class ConsumedRecord:
    """A record as it was received.

    Attributes:
        topic: name of the topic.
        partition: number of the partition.
        offset: offset in the partition.
        key: key as bytes.
        payload: payload as bytes.
        headers: values as bytes by name.
        timestamp: broker timestamp in seconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    payload: bytes | None
    headers: Mapping[str, bytes]
    timestamp: float

    def header(self, name: str) -> str:
        """Return a header as text; empty when it is missing."""
        return self.headers.get(name, b"").decode(errors="replace")

    @property
    def origin(self) -> str:
        """`topic/partition/offset` where the record was first read."""
        return self.header(ORIGIN_HEADER) or f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def not_before(self) -> float:
        """Earliest time of the next attempt, in seconds since 1970."""
        milliseconds = self.header(NOT_BEFORE_HEADER)
        return int(milliseconds) / 1000 if milliseconds.isdigit() else 0.0


@dataclass(frozen=True)
class FailedRecord:
    """A failed record and the reason of its failure.

    Attributes:
        consumed: the record.
        reason: kind of failure.
        detail: further explanation for people; contains nothing of the event itself.
    """

    consumed: ConsumedRecord
    reason: Reason
    detail: str

    @property
    def attempt(self) -> int:
        """Number of attempts so far."""
        previous = self.consumed.header(ATTEMPT_HEADER)
        return (int(previous) if previous.isdigit() else 0) + 1

    def is_final(self, retry_policy: RetryPolicy) -> bool:
        """Return whether the record is not retried again."""
        return self.attempt >= retry_policy.max_attempts_for(self.reason)

    def to_record(self, consumer: str, retry_policy: RetryPolicy, now: float) -> Record:
        """Return the record to publish: to the retry topic, or as a dead letter.

        Args:
            consumer: service that failed.
            retry_policy: attempts and backoff.
            now: current time in seconds since 1970.

        Returns:
            The record.
        """
        consumed, origin = self.consumed, self.consumed.origin
        topic = origin.split("/", 1)[0]
        failed_at = consumed.header(FAILED_AT_HEADER) or datetime.fromtimestamp(now, UTC).isoformat(
            "T", "seconds"
        )
        headers: dict[str, str | bytes] = {
            ORIGIN_HEADER: origin,
            ATTEMPT_HEADER: str(self.attempt),
            REASON_HEADER: self.reason,
            DETAIL_HEADER: self.detail[:MAX_DETAIL_LENGTH],
            FAILED_AT_HEADER: failed_at,
        }
        if traceparent := consumed.header(TRACEPARENT_HEADER):
            headers[TRACEPARENT_HEADER] = traceparent
        if self.is_final(retry_policy):
            if consumed.key is not None:
                headers[KEY_HEADER] = consumed.key
            # Without a payload it would be a tombstone, which marks a dead letter as resolved.
            return Record(dead_letter_topic_name(topic, consumer), origin, consumed.payload or b"", headers)
        headers[NOT_BEFORE_HEADER] = str(round((now + retry_policy.backoff_seconds) * 1000))
        return Record(retry_topic_name(topic, consumer), consumed.key, consumed.payload, headers)
