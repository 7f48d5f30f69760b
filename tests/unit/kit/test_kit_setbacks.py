"""Traces, newer schemas, and what is written of a record that could not be handled."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.topics import DECLARED, MESSAGE_REQUESTED, MESSAGE_STATUS, TOPICS
from services.contracts.v1 import events_pb2 as v1
from services.kit import trace
from services.kit.consumer import Consumer
from services.kit.deadletters import Letter, chosen
from services.kit.entrypoints import dlq
from services.kit.errors import TemporaryError
from services.kit.events import Incoming, MalformedError, NewerSchemaError, Outgoing, decode
from services.kit.fakes import FakePublisher
from services.kit.health import Health
from services.kit.http import create_app
from services.kit.letters import NOT_BEFORE, ORIGIN, Budget, Delivery, Reason, Setback
from services.kit.logs import JsonLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.kafka import Record

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = 1_000_000.0


def delivery(
    payload: bytes | None = b"x",
    topic: str = MESSAGE_STATUS.name,
    offset: int = 7,
    **headers: str,
) -> Delivery:
    told = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return Delivery(topic, 3, offset, b"key", payload, told, NOW)


def again(record_of: Setback, budget: Budget) -> Delivery:
    """Read what a setback wrote."""
    record = record_of.record("campaigns", budget, NOW)
    headers = {name: it if isinstance(it, bytes) else it.encode() for name, it in record.headers.items()}
    key = record.key if isinstance(record.key, bytes) else (record.key or "").encode()
    return Delivery(record.topic, 0, 99, key, record.payload, headers, NOW)


# Traces.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PARENT[:-1],
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        PARENT.upper(),
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str) -> None:
    assert trace.parse(text) is None


def test_work_belongs_to_the_trace_that_it_was_told() -> None:
    assert trace.traceparent() == ""
    with trace.within(PARENT) as here:
        assert here.trace_id == "0af7651916cd43dd8448eb211c80319c"
        assert here.span_id != "b7ad6b7169203331"
        assert trace.parse(trace.traceparent()) == here
    with trace.within("nonsense") as new:
        assert re.fullmatch("[0-9a-f]{32}", new.trace_id)
    assert trace.current() is None


def test_a_batch_of_several_traces_belongs_to_none_of_them() -> None:
    assert trace.shared([PARENT, PARENT]) == PARENT
    assert trace.shared([PARENT, ""]) == ""
    assert trace.shared([]) == ""


def test_events_and_log_lines_carry_the_trace() -> None:
    with trace.within(PARENT) as here:
        event = Outgoing.of(MESSAGE_STATUS, "k", "acme", v1.MessageAccepted(message_id="k"))
        assert decode(event.encode()).traceparent == str(here)
        line = json.loads(JsonLines("s").format(logging.makeLogRecord({"msg": "x"})))
    assert line["trace_id"] == here.trace_id


async def test_a_request_is_answered_in_the_callers_trace() -> None:
    router, seen = APIRouter(), []

    @router.get("/x")
    async def look() -> None:
        seen.append(trace.current())

    transport = httpx.ASGITransport(create_app("x", Health(), routers=[router]))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get("/x", headers={"traceparent": PARENT})
        await client.get("/x")
    assert seen[0].trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert seen[1].trace_id != seen[0].trace_id


# Schemas.


def test_a_newer_version_and_an_unknown_event_are_newer_not_malformed() -> None:
    envelope = v1.Envelope.FromString(
        Outgoing.of(MESSAGE_STATUS, "k", "acme", v1.MessageAccepted(message_id="k")).encode()
    )
    envelope.version = 2
    with pytest.raises(NewerSchemaError, match="version 2"):
        decode(envelope.SerializeToString())
    envelope.version = 1
    envelope.ClearField("message_accepted")
    with pytest.raises(NewerSchemaError):
        decode(envelope.SerializeToString() + b"\x9a\x06\x00")
    with pytest.raises(MalformedError):
        decode(envelope.SerializeToString())


def test_unknown_fields_of_a_known_event_are_no_matter() -> None:
    event = v1.MessageAccepted(message_id="k")
    event.MergeFromString(b"\x9a\x06\x00")
    assert decode(Outgoing.of(MESSAGE_STATUS, "k", "acme", event).encode()).company == "acme"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(payload: bytes) -> None:
    try:
        decode(payload)
    except (MalformedError, NewerSchemaError):
        return


# Setbacks.


def test_a_setback_waits_then_ends_and_its_origin_stays() -> None:
    budget = Budget(pause_seconds=30, failed=3)
    found, topics = delivery(traceparent=PARENT), []
    for attempt in range(1, 4):
        setback = Setback(found, Reason.FAILED, "LookupError in the handler")
        assert setback.attempt == attempt
        found = again(setback, budget)
        topics.append(found.topic)
    assert topics == ["message.status.retry.campaigns"] * 2 + ["message.status.dead.campaigns"]
    letter = Letter(found)
    assert letter.id == "campaigns/message.status/3/7"
    assert letter.told()["attempts"] == 3
    assert letter.shown()["key"] == "key"
    assert letter.shown()["trace"] == PARENT


def test_another_attempt_is_not_before_the_pause() -> None:
    waiting = again(Setback(delivery(), Reason.NEWER, "version 2"), Budget(pause_seconds=30))
    assert waiting.not_before == NOW + 30
    assert waiting.key == b"key"


def test_a_record_without_payload_is_a_letter_and_not_a_settlement() -> None:
    dead = again(Setback(delivery(None), Reason.MALFORMED, "no event"), Budget())
    assert dead.topic.endswith(".dead.campaigns")
    assert dead.payload == b""


def test_a_replayed_letter_begins_anew_at_who_failed() -> None:
    dead = again(Setback(delivery(), Reason.MALFORMED, "no event"), Budget())
    record = Letter(dead).replay(datetime.now(UTC))
    assert record.topic == "message.status.retry.campaigns"
    assert record.key == b"key"
    assert NOT_BEFORE not in record.headers
    headers = {name: it if isinstance(it, bytes) else it.encode() for name, it in record.headers.items()}
    returned = Delivery(record.topic, 0, 1, b"key", record.payload, headers, NOW)
    assert Setback(returned, Reason.FAILED, "again").attempt == 1
    assert returned.origin == "message.status/3/7"


def test_settling_is_an_empty_record_with_the_letters_key() -> None:
    dead = again(Setback(delivery(), Reason.MALFORMED, "no event"), Budget())
    record = Letter(dead).settled("dropped", datetime.now(UTC))
    assert (record.topic, record.key, record.payload) == (dead.topic, "message.status/3/7", None)


def test_letters_are_chosen_by_whole_steps_of_their_path() -> None:
    letters = [
        Letter(again(Setback(delivery(offset=offset), Reason.MALFORMED, "x"), Budget())) for offset in (1, 12)
    ]
    assert [it.record.origin for it in chosen(letters, ["campaigns/message.status/3/1"])] == [
        "message.status/3/1"
    ]
    assert len(chosen(letters, ["campaigns/message.status/"])) == 2
    assert chosen(letters, ["campaigns/message"]) == []


def test_what_is_private_is_struck_out() -> None:
    event = v1.MessageRequested(message_id="m", to="+5511999999999", text="Olá")
    payload = Outgoing.of(MESSAGE_REQUESTED, "k", "acme", event).encode()
    letter = Letter(
        delivery(payload, f"{MESSAGE_REQUESTED.name}.dead.whatsapp", esq_origin="message.requested/0/1")
    )
    shown = json.dumps(letter.shown(), ensure_ascii=False)
    assert "5511999999999" not in shown
    assert "Olá" not in shown
    assert '"message_id": "m"' in shown
    assert ORIGIN == "esq-origin"


@pytest.mark.parametrize("words", [[], ["list", "x"], ["show"], ["burn", "x"]])
def test_wrong_words_are_refused_before_anything_is_asked(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dlq.main(words)
    assert ended.value.code == 2


# The consumer, without brokers.


class FakeSource:
    """Remembers what was held and committed."""

    service = "campaigns"

    def __init__(self, *batches: list[Delivery]) -> None:
        self.batches = list(batches)
        self.held: list[tuple[list[int], float]] = []
        self.committed: list[int] = []
        self.stop = lambda: None

    async def take(self, _most: int) -> list[Delivery]:
        if len(self.batches) == 1:
            self.stop()
        return self.batches.pop(0)

    async def hold(self, deliveries: list[Delivery], seconds: float) -> None:
        self.held.append(([each.offset for each in deliveries], seconds))

    async def commit(self, deliveries: list[Delivery]) -> None:
        self.committed += [each.offset for each in deliveries]


async def consume(source: FakeSource, publisher: FakePublisher, handler: object) -> None:
    import asyncio  # noqa: PLC0415 - only here

    stop = asyncio.Event()
    source.stop = stop.set
    consumer = Consumer(source, publisher, handler, clock=lambda: NOW)  # type: ignore[arg-type] # fakes
    await consumer.run(stop)


def payload() -> bytes:
    return Outgoing(MESSAGE_STATUS, "k", "acme", v1.MessageAccepted(message_id="k"), uuid4()).encode()


async def test_records_that_are_early_are_held_with_what_follows_them() -> None:
    early = {"esq_not_before": str(round((NOW + 12) * 1000))}
    source = FakeSource(
        [
            delivery(payload(), offset=1),
            delivery(payload(), offset=2, **early),
            delivery(payload(), offset=3),
        ]
    )
    seen: list[int] = []

    async def handler(events: list[Incoming]) -> None:
        seen.append(len(events))

    await consume(source, FakePublisher(), handler)
    assert source.held == [([2, 3], 12)]
    assert source.committed == [1]
    assert seen == [1]


async def test_nothing_is_committed_before_what_failed_is_written() -> None:
    publisher = FakePublisher()
    publisher.away = True
    source = FakeSource([delivery(b"\xff", offset=1)], [delivery(b"\xff", offset=1)])

    async def handler(_events: list[Incoming]) -> None:
        publisher.away = False

    take = source.take

    async def then_back(most: int) -> list[Delivery]:
        if source.held:
            publisher.away = False
        return await take(most)

    source.take = then_back  # type: ignore[method-assign] # the brokers return meanwhile
    await consume(source, publisher, handler)
    assert [offsets for offsets, _ in source.held] == [[1]]
    assert source.committed == [1]
    assert [record.topic for record in publisher.records] == ["message.status.dead.campaigns"]


async def test_waiting_for_a_dependency_uses_up_no_attempt() -> None:
    source, publisher = FakeSource(*([delivery(payload(), offset=1)] for _ in range(20))), FakePublisher()

    async def handler(_events: list[Incoming]) -> None:
        raise TemporaryError("away")

    await consume(source, publisher, handler)
    assert publisher.records == []
    assert source.committed == []
    assert len(source.held) == 20
    assert max(seconds for _, seconds in source.held) <= 10


async def test_a_consumer_that_breaks_is_given_the_same_again() -> None:
    class Broken(FakePublisher):
        async def publish(self, records: Sequence[Record]) -> None:
            raise RuntimeError(f"nobody thought of this, with {len(records)}")

    source = FakeSource([delivery(b"\xff", offset=1), delivery(payload(), offset=2)])

    async def handler(_events: list[Incoming]) -> None:
        return

    with pytest.raises(RuntimeError, match="nobody thought"):
        await consume(source, Broken(), handler)
    assert source.held == [([1, 2], 0)]
    assert source.committed == []


def test_each_consumer_of_a_topic_has_a_retry_and_a_dead_letter_topic() -> None:
    names = {topic.name for topic in TOPICS}
    for topic in DECLARED:
        for consumer in topic.consumers:
            assert {f"{topic.name}.retry.{consumer}", f"{topic.name}.dead.{consumer}"} <= names
