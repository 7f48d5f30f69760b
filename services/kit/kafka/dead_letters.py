"""Dead letters: read, shown without personal data, replayed to the consumer that failed, or discarded.

A dead letter is resolved by publishing an empty record with its key, which says how and when. So unresolved
is every key whose last record has a payload; no further state is needed, and two operators may work at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from services.contracts.topics import DEAD_LETTER_TOPICS, retry_topic_name
from services.contracts.v1.events_pb2 import Envelope
from services.kit.kafka.client import Record
from services.kit.kafka.failed_records import (
    ATTEMPT_HEADER,
    DETAIL_HEADER,
    FAILED_AT_HEADER,
    KEY_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
    RESOLUTION_HEADER,
    ConsumedRecord,
)
from services.kit.kafka.kafka_consumer import to_consumed_record
from services.kit.observability.tracing import TRACEPARENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.contracts.topics import Topic
    from services.kit.kafka.client import Publisher

CALL_TIMEOUT_SECONDS = 15.0
MAX_DEAD_LETTERS = 5000
"""Dead letters read per topic; further ones appear when these are resolved."""
REDACTED_FIELDS = frozenset({"to", "text"})
REDACTED = "***"
REPLAYED, DISCARDED = "replayed", "discarded"


@dataclass(frozen=True)
class DeadLetter:
    """A record that a consumer could not handle.

    Attributes:
        record: the record in the dead-letter topic.
    """

    record: ConsumedRecord

    @property
    def consumer(self) -> str:
        """Service that failed; the last part of the topic's name."""
        return self.record.topic.rsplit(".", 1)[1]

    @property
    def id(self) -> str:
        """`consumer/topic/partition/offset` of the origin."""
        return f"{self.consumer}/{self.record.origin}"

    def summary(self) -> dict[str, Any]:
        """Return the facts about the failure, and the kind of event; nothing that names a tenant."""
        header, envelope = self.record.header, self._envelope()
        return {
            "id": self.id,
            "reason": header(REASON_HEADER),
            "detail": header(DETAIL_HEADER),
            "attempts": int(header(ATTEMPT_HEADER) or 0),
            "failed_at": header(FAILED_AT_HEADER),
            "dead_at": datetime.fromtimestamp(self.record.timestamp, UTC).isoformat("T", "seconds"),
            "event": envelope.WhichOneof("event") if envelope else None,
        }

    def redacted(self) -> dict[str, Any]:
        """Return the whole record without phone numbers and texts."""
        envelope = self._envelope()
        document = MessageToDict(envelope, preserving_proto_field_name=True) if envelope else None
        return {
            **self.summary(),
            "event_id": envelope.event_id if envelope else None,
            "company": envelope.company if envelope else None,
            "key": self.record.header(KEY_HEADER),
            "trace": self.record.header(TRACEPARENT_HEADER),
            "bytes": len(self.record.payload or b""),
            "envelope": _redact(document),
        }

    def replay(self, now: datetime) -> Record:
        """Return the record that gives the event back to the consumer that failed, with all its attempts."""
        topic = self.record.origin.split("/", 1)[0]
        names = (ORIGIN_HEADER, FAILED_AT_HEADER, TRACEPARENT_HEADER)
        headers: dict[str, str | bytes] = {
            name: self.record.headers[name] for name in names if name in self.record.headers
        }
        headers[RESOLUTION_HEADER] = f"{REPLAYED} {now.isoformat('T', 'seconds')}"
        key = self.record.headers.get(KEY_HEADER)
        return Record(retry_topic_name(topic, self.consumer), key, self.record.payload, headers)

    def tombstone(self, resolution: str, now: datetime) -> Record:
        """Return the record that marks it as resolved.

        Args:
            resolution: `REPLAYED` or `DISCARDED`.
            now: time of the resolution.

        Returns:
            A record without payload.
        """
        return Record(
            self.record.topic,
            self.record.origin,
            None,
            {RESOLUTION_HEADER: f"{resolution} {now.isoformat('T', 'seconds')}"},
        )

    def _envelope(self) -> Envelope | None:
        """Decode the envelope as far as this version can."""
        try:
            return Envelope.FromString(self.record.payload or b"")
        except DecodeError:
            return None


def _redact(value: Any) -> Any:  # noqa: ANN401 - a document of any form
    if isinstance(value, dict):
        return {key: REDACTED if key in REDACTED_FIELDS else _redact(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_redact(member) for member in value]
    return value


class KafkaDeadLetterStore:
    """Reads dead-letter topics from start to end; in normal operation they are small.

    Args:
        config: configuration of the client.
        topics: the topics; all of them by default.
    """

    def __init__(self, config: dict[str, str | int], topics: Sequence[Topic] = DEAD_LETTER_TOPICS) -> None:
        # The group is required, and never joined.
        self._config = {"group.id": "esq-dlq", **config, "enable.auto.commit": "false"}
        self._topics = topics

    def list_unresolved(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first within each topic, at most `MAX_DEAD_LETTERS` per topic.

        Raises:
            KafkaException: the brokers are unavailable.
            TimeoutError: the brokers stopped answering.
        """
        consumer = Consumer(self._config)
        try:
            return [dead_letter for topic in self._topics for dead_letter in self._read(consumer, topic.name)]
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, topic: str) -> Iterable[DeadLetter]:
        """Return the unresolved dead letters of a topic; it has one partition."""
        partition = TopicPartition(topic, 0, OFFSET_BEGINNING)
        low, high = consumer.get_watermark_offsets(partition, timeout=CALL_TIMEOUT_SECONDS)
        unresolved: dict[str, DeadLetter] = {}
        consumer.assign([partition] if high > low else [])
        position = low
        while position < high:
            message = consumer.poll(CALL_TIMEOUT_SECONDS)
            if message is None:
                raise TimeoutError(f"{topic}: no record was received before the end of the topic")
            if error := message.error():
                raise KafkaException(error)
            dead_letter = DeadLetter(to_consumed_record(message))
            position = dead_letter.record.offset + 1
            if dead_letter.record.payload is None:
                unresolved.pop((dead_letter.record.key or b"").decode(), None)
            elif len(unresolved) < MAX_DEAD_LETTERS:
                unresolved[dead_letter.record.origin] = dead_letter
        return unresolved.values()


def select_dead_letters(dead_letters: Iterable[DeadLetter], paths: Sequence[str]) -> list[DeadLetter]:
    """Return the dead letters below the paths.

    Args:
        dead_letters: dead letters to select from.
        paths: ids, or prefixes of ids that end before a slash.

    Returns:
        The selected dead letters.
    """
    return [
        dead_letter
        for dead_letter in dead_letters
        if any(f"{dead_letter.id}/".startswith(f"{path.rstrip('/')}/") for path in paths)
    ]


async def resolve_dead_letters(
    dead_letters: Sequence[DeadLetter], resolution: str, publisher: Publisher, now: datetime
) -> None:
    """Replay or discard dead letters; a crash in between replays twice, which the inbox filters out.

    Args:
        dead_letters: dead letters to resolve.
        resolution: `REPLAYED` or `DISCARDED`.
        publisher: publishes the records.
        now: time of the resolution.

    Raises:
        TemporaryError: the brokers did not acknowledge all records; repeat the call.
    """
    if resolution == REPLAYED:
        await publisher.publish([dead_letter.replay(now) for dead_letter in dead_letters])
    await publisher.publish([dead_letter.tombstone(resolution, now) for dead_letter in dead_letters])
