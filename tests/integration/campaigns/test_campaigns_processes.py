"""The real processes on real servers: a campaign is planned and published while its planners are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Consumer

from services.contracts.topics import MESSAGE_REQUESTED, MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.auth import Tokens
from services.kit.events import Outgoing, decode
from services.kit.kafka import KafkaPublisher, Record
from tests.controllers.process import Server, await_true, free_port
from tests.controllers.told import single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from services.kit.events import Event
    from tests.controllers.kafka import Kafka
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
KEY = "k" * 32
CONTACTS = 3000
READY_SECONDS = 30.0


class Process(Server):
    """A service process, as the deploy runs it."""

    def __init__(self, module: str, env: dict[str, str], folder: Path) -> None:
        self.port = free_port()
        super().__init__(module, folder / f"{module}-{self.port}.log")
        own = {"ESQ_PORT": str(self.port), "ESQ_HOST": "127.0.0.1", "ESQ_GRACE_SECONDS": "0"}
        self.launch([sys.executable, "-m", f"services.{module}"], env=os.environ | env | own)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        """Tell whether it can work."""
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def start(
    test_database: TestDatabase, clean_kafka: Kafka, tmp_path: Path
) -> Iterator[Callable[..., Process]]:
    """Start a process of a service and wait until it is ready."""
    started = []

    def start(module: str, **more: str) -> Process:
        env = {
            "ESQ_DATABASE_URL": test_database.url(module.split(".", maxsplit=1)[0]),
            "ESQ_KAFKA_BOOTSTRAP": clean_kafka.bootstrap,
            "ESQ_TOKEN_KEY": KEY,
            "ESQ_PLAN_CHUNK": "50",
            "ESQ_PLAN_LEASE_SECONDS": "1",
        }
        process = Process(module, env | more, tmp_path)
        started.append(process)
        process.await_ready(process.ready, READY_SECONDS)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def platform() -> Iterator[httpx.Client]:
    """A client with the token of a company."""
    scopes = ("contacts:write", "contacts:read", "campaigns:write", "campaigns:read")
    token = Tokens(KEY).issue("tester", "acme", scopes)
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        yield client


def requested(kafka: Kafka, least: int) -> list[Any]:
    """Read everything on the topic of requests; return the requests of each event once."""
    client = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"}
    )
    client.subscribe([MESSAGE_REQUESTED.name])
    events: dict[UUID, Event] = {}
    quiet = 0
    while quiet < 3 or (len(single(events.values())) < least and quiet < 30):
        messages = client.consume(1000, timeout=1)
        quiet = 0 if messages else quiet + 1
        events |= {one.event_id: one.event for one in (decode(message.value()) for message in messages)}
    client.close()
    return single(events.values())


async def publish(kafka: Kafka, events: Sequence[Outgoing]) -> None:
    """Tell news, as the whatsapp service does."""
    publisher = KafkaPublisher({"bootstrap.servers": kafka.bootstrap})
    await publisher.publish([Record(one.topic.name, one.key, one.encode()) for one in events])
    publisher.close()


def test_killed_planners_lose_and_double_nothing(
    start: Callable[..., Process], platform: httpx.Client, clean_kafka: Kafka
) -> None:
    contacts, api = start("contacts.entrypoints.api"), start("campaigns.entrypoints.api")
    rows = "".join(f"P{number},+55119{80_000_000 + number}\n" for number in range(CONTACTS))
    imported = platform.post(
        f"{contacts.url}/contacts/imports", params={"list": "friends"}, content=f"name,phone\n{rows}"
    )
    assert imported.json()["accepted"] == CONTACTS
    body = {"name": "Welcome", "list": "friends", "text": "Oi {name}!", "connection": "main"}
    created = platform.post(f"{api.url}/campaigns", json=body, headers={"Idempotency-Key": "the-only-one"})
    assert created.status_code == 202
    campaign = created.json()["id"]

    def progress() -> dict[str, object]:
        answer: dict[str, object] = platform.get(f"{api.url}/campaigns/{campaign}").json()
        return answer

    def planned_beyond(count: int) -> Callable[[], bool]:
        return lambda: int(str(progress()["planned"])) > count

    for least in (100, 800):
        planner = start("campaigns.entrypoints.planner", ESQ_CONTACTS_URL=contacts.url)
        await_true(f"{least} are planned", planned_beyond(least), 30)
        planner.kill()
    planner = start("campaigns.entrypoints.planner", ESQ_CONTACTS_URL=contacts.url)
    await_true("all are planned", lambda: progress()["state"] == "running", 60)
    assert progress()["counts"] == {"queued": CONTACTS}

    requests = requested(clean_kafka, CONTACTS)
    assert len(requests) == len({one.contact_id for one in requests}) == CONTACTS

    news = [
        Outgoing.of(MESSAGE_STATUS, message, "acme", event)
        for message in [one.message_id for one in requests]
        for event in (
            v1.StatusChanged(message_id=message, campaign_id=campaign, status=v1.STATUS_DELIVERED),
            v1.MessageAccepted(message_id=message, campaign_id=campaign),
        )
    ]
    asyncio.run(publish(clean_kafka, news))
    worker = start("campaigns.entrypoints.worker")
    await_true("all are delivered", lambda: progress()["counts"] == {"delivered": CONTACTS}, 60)
    assert progress()["state"] == "finished"
    assert [process.send(signal.SIGTERM) for process in (planner, worker, api)] == [0, 0, 0]


def test_a_process_with_wrong_settings_says_all_that_is_wrong(tmp_path: Path) -> None:
    process = Process("campaigns.entrypoints.planner", {"ESQ_TOKEN_KEY": "short"}, tmp_path)
    assert process.wait() == 2
    for name in ("ESQ_DATABASE_URL", "ESQ_KAFKA_BOOTSTRAP", "ESQ_CONTACTS_URL", "ESQ_TOKEN_KEY"):
        assert name in process.tail()
