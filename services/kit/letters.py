"""What becomes of a record that could not be handled: another attempt later, or a dead letter.

All that is known about the failure travels in headers; key and payload stay as they came. A retry topic is a
queue in which all wait equally long, so that what is first in it is also due first and nobody waits behind
one that waits longer. A dead letter is keyed by its origin: an empty record of the same key says that it was
replayed or dropped, and compaction then takes both away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from services.contracts.topics import dead_name, retry_name
from services.kit import trace
from services.kit.kafka import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGIN, ATTEMPT, REASON, DETAIL = "esq-origin", "esq-attempt", "esq-reason", "esq-detail"
FAILED_AT, NOT_BEFORE, KEY, SETTLED = "esq-failed-at", "esq-not-before", "esq-key", "esq-settled"
LONGEST_DETAIL = 500


class Reason(StrEnum):
    """Why a record was not handled; a metric label, so there are few."""

    MALFORMED = "malformed"
    """Bytes that are no event: nothing will change that."""
    NEWER = "newer schema"
    """An event that a later version of the consumer knows."""
    FAILED = "failed"
    """The handler refused it, and no dependency was to blame."""


@dataclass(frozen=True)
class Budget:
    """How long and how often the same is tried.

    Attributes:
        pause_seconds: between two attempts, the same for all.
        failed: attempts at what the handler refuses: five minutes.
        newer: attempts at what is not known yet: six hours, for a deploy to be finished or taken back.
    """

    pause_seconds: float = 30.0
    failed: int = 10
    newer: int = 720

    def attempts(self, reason: Reason) -> int:
        """Return after how many attempts a record is a dead letter."""
        return {Reason.MALFORMED: 1, Reason.NEWER: self.newer, Reason.FAILED: self.failed}[reason]


@dataclass(frozen=True)
class Delivery:
    """A record as it came.

    Attributes:
        topic: where it was read.
        partition: number within the topic.
        offset: position within the partition.
        key: as bytes.
        payload: as bytes.
        headers: as bytes by name.
        written_at: seconds since 1970, as the brokers know it.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    payload: bytes | None
    headers: Mapping[str, bytes]
    written_at: float

    def header(self, name: str) -> str:
        """Return a header as text; empty when it is not there."""
        return self.headers.get(name, b"").decode(errors="replace")

    @property
    def origin(self) -> str:
        """`topic/partition/offset` of where it was read first."""
        return self.header(ORIGIN) or f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def not_before(self) -> float:
        """Seconds since 1970 before which it must not be tried."""
        told = self.header(NOT_BEFORE)
        return int(told) / 1000 if told.isdigit() else 0.0


@dataclass(frozen=True)
class Setback:
    """A record that was not handled, and why.

    Attributes:
        delivery: the record.
        reason: the kind of failure.
        detail: more of it for people; holds nothing of the event itself.
    """

    delivery: Delivery
    reason: Reason
    detail: str

    @property
    def attempt(self) -> int:
        """How often it was tried by now."""
        told = self.delivery.header(ATTEMPT)
        return (int(told) if told.isdigit() else 0) + 1

    def is_final(self, budget: Budget) -> bool:
        """Tell whether it is not tried again."""
        return self.attempt >= budget.attempts(self.reason)

    def record(self, consumer: str, budget: Budget, now: float) -> Record:
        """Return what is written of it: for another attempt after the pause, or as a dead letter.

        Args:
            consumer: the service that could not handle it.
            budget: how often that is tried.
            now: seconds since 1970.
        """
        delivery, origin = self.delivery, self.delivery.origin
        topic = origin.split("/", 1)[0]
        first = delivery.header(FAILED_AT) or datetime.fromtimestamp(now, UTC).isoformat("T", "seconds")
        headers: dict[str, str | bytes] = {
            ORIGIN: origin,
            ATTEMPT: str(self.attempt),
            REASON: self.reason,
            DETAIL: self.detail[:LONGEST_DETAIL],
            FAILED_AT: first,
        }
        if told := delivery.header(trace.HEADER):
            headers[trace.HEADER] = told
        if self.is_final(budget):
            if delivery.key is not None:
                headers[KEY] = delivery.key
            # Without a payload it would look as if it were settled.
            return Record(dead_name(topic, consumer), origin, delivery.payload or b"", headers)
        headers[NOT_BEFORE] = str(round((now + budget.pause_seconds) * 1000))
        return Record(retry_name(topic, consumer), delivery.key, delivery.payload, headers)
