"""Dead letters: read whole, shown without what is private, replayed to who failed, or dropped.

Settling one is writing an empty record with its key, which says what was done and when. So what is left is
what has a payload as its last record; nothing else has to be kept, and two people may work at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from services.contracts.topics import DEAD, retry_name
from services.contracts.v1.events_pb2 import Envelope
from services.kit import trace
from services.kit.kafka import Record
from services.kit.letters import ATTEMPT, DETAIL, FAILED_AT, KEY, ORIGIN, REASON, SETTLED, Delivery
from services.kit.source import delivery_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.kit.kafka import Publisher

CALL_SECONDS = 15.0
MOST = 5000
"""Letters held at once; those beyond are seen when these are settled."""
PRIVATE = frozenset({"to", "text"})
STRUCK_OUT = "***"
REPLAYED, DROPPED = "replayed", "dropped"


@dataclass(frozen=True)
class Letter:
    """A record that a consumer could not handle.

    Attributes:
        record: as it lies in the dead-letter topic.
    """

    record: Delivery

    @property
    def consumer(self) -> str:
        """The service that could not handle it: whose topic it lies in."""
        return self.record.topic.rsplit(".", 1)[1]

    @property
    def id(self) -> str:
        """`consumer/topic/partition/offset` of where it came from."""
        return f"{self.consumer}/{self.record.origin}"

    def told(self) -> dict[str, Any]:
        """Return what is known about its failure, and what kind of event it is."""
        header, envelope = self.record.header, self._envelope()
        return {
            "id": self.id,
            "reason": header(REASON),
            "detail": header(DETAIL),
            "attempts": int(header(ATTEMPT) or 0),
            "failed_at": header(FAILED_AT),
            "dead_at": datetime.fromtimestamp(self.record.written_at, UTC).isoformat("T", "seconds"),
            "event": envelope.WhichOneof("event") if envelope else None,
            "event_id": envelope.event_id if envelope else None,
            "company": envelope.company if envelope else None,
        }

    def shown(self) -> dict[str, Any]:
        """Return all of it, but numbers and texts of people."""
        envelope = self._envelope()
        told = MessageToDict(envelope, preserving_proto_field_name=True) if envelope else None
        return {
            **self.told(),
            "key": self.record.header(KEY),
            "trace": self.record.header(trace.HEADER),
            "bytes": len(self.record.payload or b""),
            "envelope": _without_private(told),
        }

    def replay(self, now: datetime) -> Record:
        """Return what gives it back to the consumer that failed, with its whole budget."""
        topic = self.record.origin.split("/", 1)[0]
        names = (ORIGIN, FAILED_AT, trace.HEADER)
        headers: dict[str, str | bytes] = {
            name: self.record.headers[name] for name in names if name in self.record.headers
        }
        headers[SETTLED] = f"{REPLAYED} {now.isoformat('T', 'seconds')}"
        key = self.record.headers.get(KEY)
        return Record(retry_name(topic, self.consumer), key, self.record.payload, headers)

    def settled(self, how: str, now: datetime) -> Record:
        """Return what says that it is settled."""
        return Record(
            self.record.topic,
            self.record.origin,
            None,
            {SETTLED: f"{how} {now.isoformat('T', 'seconds')}"},
        )

    def _envelope(self) -> Envelope | None:
        """Read it as far as this version can."""
        try:
            return Envelope.FromString(self.record.payload or b"")
        except DecodeError:
            return None


def _without_private(told: Any) -> Any:  # noqa: ANN401 - a document of any form
    if isinstance(told, dict):
        return {key: STRUCK_OUT if key in PRIVATE else _without_private(it) for key, it in told.items()}
    return told


class Letters(Protocol):
    """Port: what has not been settled."""

    def read(self) -> list[Letter]:
        """Return the letters, oldest first within each topic, at most `MOST`."""
        ...


class KafkaLetters:
    """Reads the dead-letter topics from end to end; they are small, or there is a larger trouble."""

    def __init__(self, config: dict[str, str | int]) -> None:
        self._config = config | {"group.id": "esq-dlq", "enable.auto.commit": "false"}

    def read(self) -> list[Letter]:
        """See `Letters`.

        Raises:
            KafkaException: the brokers are away.
            TimeoutError: they fell silent.
        """
        consumer = Consumer(self._config)
        try:
            return [letter for topic in DEAD for letter in self._read(consumer, topic.name)]
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, topic: str) -> Iterable[Letter]:
        """Return what is left of a topic; it has one partition."""
        place = TopicPartition(topic, 0, OFFSET_BEGINNING)
        low, high = consumer.get_watermark_offsets(place, timeout=CALL_SECONDS)
        left: dict[str, Letter] = {}
        consumer.assign([place] if high > low else [])
        reached = low
        while reached < high:
            message = consumer.poll(CALL_SECONDS)
            if message is None:
                raise TimeoutError(f"{topic} is silent before its end")
            if error := message.error():
                raise KafkaException(error)
            letter = Letter(delivery_of(message))
            reached = letter.record.offset + 1
            if letter.record.payload is None:
                left.pop((letter.record.key or b"").decode(), None)
            elif len(left) < MOST:
                left[letter.record.origin] = letter
        return left.values()


def chosen(letters: Iterable[Letter], paths: Sequence[str]) -> list[Letter]:
    """Return the letters that the paths name: an id, or the beginning of one up to a slash."""
    return [
        letter
        for letter in letters
        if any(f"{letter.id}/".startswith(f"{path.rstrip('/')}/") for path in paths)
    ]


async def settle(letters: Sequence[Letter], how: str, publisher: Publisher, now: datetime) -> None:
    """Replay or drop; a death in between replays twice, which the inbox suppresses.

    Raises:
        TemporaryError: the brokers did not acknowledge all of it: repeat it.
    """
    if how == REPLAYED:
        await publisher.publish([letter.replay(now) for letter in letters])
    await publisher.publish([letter.settled(how, now) for letter in letters])
