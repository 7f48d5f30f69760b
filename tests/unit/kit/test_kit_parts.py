"""Settings, logs, named SQL, events, retries and health: the parts of the kit that need no server."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest

from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.database import passes_by_itself
from services.kit.errors import TemporaryError
from services.kit.events import MOST_BYTES, MalformedError, Outgoing, decode, packed
from services.kit.fakes import FakeInbox, FakeOutbox, FakePublisher
from services.kit.health import Health
from services.kit.ids import uuid7
from services.kit.kafka import Record, client_config
from services.kit.logs import JsonLines, strike_out
from services.kit.outbox import LANES, lane_of
from services.kit.retry import LONGEST_PAUSE_SECONDS, bounded, pause_before, wait_or_stop
from services.kit.settings import (
    DatabaseSettings,
    KafkaSettings,
    ProcessSettings,
    SettingsError,
    TokenSettings,
    load,
)
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from pathlib import Path


class Settings(ProcessSettings, DatabaseSettings, KafkaSettings, TokenSettings):
    """All groups at once."""


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("ESQ_SERVICE", "whatsapp")
    monkeypatch.setenv("ESQ_DATABASE_URL", "postgresql+asyncpg://a:secret@db/esq")
    monkeypatch.setenv("ESQ_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("ESQ_TOKEN_KEY", "k" * 32)
    return monkeypatch


def test_settings_come_from_the_environment(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("ESQ_DATABASE_POOL", "7")
    settings = load(Settings)
    assert (settings.service, settings.database_pool, settings.kafka_bootstrap) == (
        "whatsapp",
        7,
        "kafka:9092",
    )
    assert "secret" not in repr(settings)


def test_all_faults_are_told_together_without_values(complete: pytest.MonkeyPatch) -> None:
    complete.delenv("ESQ_DATABASE_URL")
    complete.setenv("ESQ_TOKEN_KEY", "too-short-a-secret")
    complete.setenv("ESQ_PORT", "many")
    complete.setenv("ESQ_CA_FILE", "/nowhere/ca.crt")
    with pytest.raises(SettingsError) as told:
        load(Settings)
    for name in ("ESQ_DATABASE_URL", "ESQ_TOKEN_KEY", "ESQ_PORT", "ESQ_CA_FILE"):
        assert f"- {name}: " in str(told.value)
    assert "too-short-a-secret" not in str(told.value)


def test_kafka_login_and_tls_follow_the_settings(complete: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(Settings)
    assert client_config(settings, settings)["security.protocol"] == "PLAINTEXT"
    authority = tmp_path / "ca.crt"
    authority.touch()
    complete.setenv("ESQ_CA_FILE", str(authority))
    complete.setenv("ESQ_KAFKA_USERNAME", "whatsapp")
    complete.setenv("ESQ_KAFKA_PASSWORD", "pw")
    settings = load(Settings)
    config = client_config(settings, settings)
    assert (config["security.protocol"], config["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert config["ssl.ca.location"] == str(authority)


def formatted(message: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "name": "n", "levelname": "INFO", **extra})
    line = JsonLines("contacts").format(record)
    assert "\n" not in line
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_log_lines_are_json_with_a_sentence_and_extras() -> None:
    identifier = uuid7()
    line = formatted("Planned 5", action="plan", campaign=identifier)
    assert (line["message"], line["action"], line["campaign"]) == ("Planned 5", "plan", str(identifier))
    assert (line["service"], line["level"]) == ("contacts", "info")


@pytest.mark.parametrize(
    "private",
    [
        "+5511987654321",
        "Bearer abc.def-ghi",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "postgresql://role:hunter2@db/esq",
    ],
)
def test_private_things_are_struck_out(private: str) -> None:
    text = strike_out(f"failed for {private} today")
    assert private not in text
    assert "hunter2" not in text
    assert text.startswith("failed for ")
    assert text.endswith("today")


def test_a_traceback_is_one_line_and_struck_out_too() -> None:
    try:
        int("+5511987654321x")
    except ValueError:
        line = formatted("Failed", exc_info=sys.exc_info())
    assert "+***" in str(line["error"])


def test_sql_files_give_queries_by_name(tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text(
        "-- All: here.\n\n-- name: one\n-- What it does: this.\nSELECT :a;\n\n-- name: two\nSELECT 2\n"
    )
    queries = load_queries(file)
    assert {name: str(query) for name, query in queries.items()} == {"one": "SELECT :a", "two": "SELECT 2"}


@pytest.mark.parametrize(
    "text", ["SELECT 1\n", "-- name: a\n\n-- name: b\nSELECT 1\n", "-- name: a\nSELECT 1\n" * 2]
)
def test_sql_files_with_nameless_empty_or_double_queries_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "q.sql"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"q\.sql"):
        load_queries(file)


def test_events_survive_the_way() -> None:
    outgoing = Outgoing.of(
        MESSAGE_REQUESTED, "acme/main", "acme", v1.MessageRequested(message_id="m", text="Olá")
    )
    incoming = decode(outgoing.encode())
    assert (incoming.event_id, incoming.company, incoming.event) == (
        outgoing.event_id,
        "acme",
        outgoing.event,
    )


def test_what_is_told_is_divided_in_its_order_among_events_that_are_bounded() -> None:
    texts = ["a" * MOST_BYTES, *("b" * 10_000 for _ in range(4)), "c" * (2 * MOST_BYTES), "d"]
    packs = list(packed(v1.MessageRequested(text=text) for text in texts))
    assert [[request.text[0] for request in pack] for pack in packs] == [
        ["a"],
        ["b"] * 3,
        ["b"],
        ["c"],
        ["d"],
    ]
    assert list(packed([])) == []


@pytest.mark.parametrize(
    "payload",
    [
        None,
        b"\xff\xff\xff",
        v1.Envelope(event_id=str(uuid7()), company="acme").SerializeToString(),
        v1.Envelope(event_id="x", company="acme", message_failed=v1.MessageFailed()).SerializeToString(),
        v1.Envelope(event_id=str(uuid7()), message_failed=v1.MessageFailed()).SerializeToString(),
    ],
)
def test_what_is_no_event_is_malformed(payload: bytes | None) -> None:
    with pytest.raises(MalformedError):
        decode(payload)


def test_ids_sort_by_time() -> None:
    made = [uuid7() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert made == sorted(made)
    assert made[0].version == 7


def test_lanes_are_stable_and_used() -> None:
    assert {lane_of(f"acme/{number}") for number in range(200)} == set(range(LANES))
    assert lane_of("acme/main") == 0


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (asyncpg.CannotConnectNowError("starting"), True),
        (asyncpg.ReadOnlySQLTransactionError("standby"), True),
        (asyncpg.DeadlockDetectedError("deadlock"), True),
        (asyncpg.InsufficientPrivilegeError("no"), False),
        (asyncpg.UniqueViolationError("twice"), False),
        (asyncpg.InvalidPasswordError("no"), False),
        (ValueError("a defect"), False),
    ],
)
def test_what_passes_by_itself(error: Exception, passes: bool) -> None:  # noqa: FBT001 - a table's column
    assert passes_by_itself(error) is passes


async def test_bounded_retries_what_passes_and_nothing_else() -> None:
    calls = 0

    async def flaky() -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise TemporaryError("not yet")
        return calls

    assert await bounded(flaky) == 3

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        await bounded(broken)
    assert calls == 4


async def test_bounded_gives_up() -> None:
    async def away() -> None:
        raise TemporaryError("away")

    with pytest.raises(TemporaryError):
        await bounded(away, attempts=2, seconds=2)


def test_pauses_grow_and_are_bounded() -> None:
    assert pause_before(2) <= 0.2
    assert all(0 < pause_before(attempt) <= LONGEST_PAUSE_SECONDS for attempt in range(2, 100))


async def test_waiting_ends_with_the_process() -> None:
    stop = asyncio.Event()
    assert await wait_or_stop(stop, 0.01) is False
    stop.set()
    assert await wait_or_stop(stop, 60) is True


async def test_readiness_names_every_reason() -> None:
    health, answers = Health(), {"database": "away"}

    async def database() -> str | None:
        return answers["database"]

    health.add("database", database)
    health.trouble("relay", "relay is down")
    assert await health.reasons() == {"database": "away", "relay": "relay is down"}
    health.trouble("relay", None)
    assert await health.reasons() == {"database": "away"}


async def test_what_all_replicas_lack_takes_none_of_them_out_of_rotation() -> None:
    health, answer = Health(), ["not reached yet"]

    async def database() -> str | None:
        return answer[0] or None

    health.add("database", database, shared=True)
    assert await health.reasons() == {"database": "not reached yet"}
    health._asked = float("-inf")
    answer[0] = ""
    assert await health.reasons() == {}
    health._asked = float("-inf")
    answer[0] = "away"
    assert await health.reasons() == {}
    assert await health.degraded() == {"database": "away"}


async def test_fakes_do_as_the_ports_say() -> None:
    inbox, outbox, publisher = FakeInbox(), FakeOutbox(), FakePublisher()
    event = decode(Outgoing.of(MESSAGE_REQUESTED, "k", "acme", v1.MessageRequested()).encode())
    assert await inbox.fresh([event, event]) == [event]
    assert await inbox.fresh([event]) == []
    await outbox.add([Outgoing.of(MESSAGE_REQUESTED, "k", "acme", v1.MessageRequested())])
    assert len(outbox.events) == 1
    await publisher.publish([Record("t", "k", b"")])
    publisher.away = True
    with pytest.raises(TemporaryError):
        await publisher.publish([Record("t", "k", b"")])
    assert len(publisher.records) == 1
