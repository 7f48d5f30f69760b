"""Processes of campaigns and contacts on real servers: planners are killed while a campaign is planned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Consumer

from services.contracts.topics import MESSAGE_REQUESTED, MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.http.auth import JwtTokens
from services.kit.kafka.client import KafkaPublisher, Record
from services.kit.kafka.envelope import OutboundEvent, decode
from tests.servers.event_batches import flatten, statuses_updated
from tests.servers.process import wait_until
from tests.servers.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    from services.kit.kafka.envelope import Event
    from tests.integration.conftest import TestDatabase
    from tests.servers.kafka import Kafka

pytestmark = pytest.mark.integration
KEY = "k" * 32
CONTACTS = 3000


@pytest.fixture
def start(
    test_database: TestDatabase, clean_kafka: Kafka, tmp_path: Path
) -> Iterator[Callable[..., ServiceProcess]]:
    """Return a function that starts a process and waits until it is ready."""
    started = []

    def start(service: str, process_type: str, **settings: str) -> ServiceProcess:
        defaults = {
            "ESQ_DATABASE_URL": test_database.url(service),
            **clean_kafka.account(service),
            "ESQ_TOKEN_KEYS": KEY,
            "ESQ_PLAN_CHUNK": "50",
            "ESQ_PLAN_LEASE_SECONDS": "1",
        }
        process = ServiceProcess(service, process_type, tmp_path, defaults | settings)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def platform() -> Iterator[httpx.Client]:
    """Return a client with the token of a company."""
    scopes = ("contacts:write", "contacts:read", "campaigns:write", "campaigns:read")
    token = JwtTokens(KEY).issue("tester", "acme", scopes)
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        yield client


def read_requests(kafka: Kafka, expected: int) -> list[Any]:
    """Read the topic of requests to its end; return the requests of each event once."""
    client = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"}
    )
    client.subscribe([MESSAGE_REQUESTED.name])
    events: dict[UUID, Event] = {}
    empty_polls = 0
    while empty_polls < 3 or (len(flatten(events.values())) < expected and empty_polls < 30):
        messages = client.consume(1000, timeout=1)
        empty_polls = 0 if messages else empty_polls + 1
        incoming = [decode(message.value()) for message in messages]
        events |= {event.event_id: event.event for event in incoming}
    client.close()
    return flatten(events.values())


async def publish(kafka: Kafka, events: Sequence[OutboundEvent]) -> None:
    """Publish status updates as the whatsapp service does."""
    publisher = KafkaPublisher({"bootstrap.servers": kafka.bootstrap})
    await publisher.publish([Record(event.topic.name, event.key, event.encode()) for event in events])
    publisher.close()


def test_killed_planners_lose_and_duplicate_no_message(
    start: Callable[..., ServiceProcess], platform: httpx.Client, clean_kafka: Kafka
) -> None:
    contacts, api = start("contacts", "api"), start("campaigns", "api")
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
        response: dict[str, object] = platform.get(f"{api.url}/campaigns/{campaign}").json()
        return response

    def planned_beyond(count: int) -> Callable[[], bool]:
        return lambda: int(str(progress()["planned"])) > count

    for count in (100, 800):
        planner = start("campaigns", "planner", ESQ_CONTACTS_URL=contacts.url)
        wait_until(f"{count} messages are planned", planned_beyond(count), 30)
        planner.kill()
    planner = start("campaigns", "planner", ESQ_CONTACTS_URL=contacts.url)
    wait_until("all messages are planned", lambda: progress()["state"] == "running", 60)
    assert progress()["counts"] == {"queued": CONTACTS}

    requests = read_requests(clean_kafka, CONTACTS)
    assert len(requests) == len({request.contact_id for request in requests}) == CONTACTS

    events = [
        OutboundEvent.create(MESSAGE_STATUS, request.message_id, "acme", statuses_updated(update))
        for request in requests
        for update in (
            v1.MessageStatusChanged(
                message_id=request.message_id, campaign_id=campaign, status=v1.STATUS_DELIVERED
            ),
            v1.MessageAccepted(message_id=request.message_id, campaign_id=campaign),
        )
    ]
    asyncio.run(publish(clean_kafka, events))
    worker = start("campaigns", "worker")
    wait_until("all messages are delivered", lambda: progress()["counts"] == {"delivered": CONTACTS}, 60)
    assert progress()["state"] == "finished"
    assert [process.stop() for process in (planner, worker, api)] == [0, 0, 0]


def test_process_with_invalid_settings_reports_all_errors(tmp_path: Path) -> None:
    process = ServiceProcess("campaigns", "planner", tmp_path, {"ESQ_TOKEN_KEYS": "short"})
    process.start(ready=False)
    assert process.wait() == 2
    for name in ("ESQ_DATABASE_URL", "ESQ_KAFKA_BOOTSTRAP", "ESQ_CONTACTS_URL", "ESQ_TOKEN_KEYS"):
        assert name in process.tail()
