"""The simulator on real Postgres: acknowledged messages are on disk, webhooks repeat until accepted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.kit.ids import uuid7
from services.kit.postgres.database import Transaction, open_database
from services.simulator.adapters.fault_config import FaultConfigStore
from services.simulator.adapters.ledger import PostgresLedgerStore
from services.simulator.adapters.webhook_client import HttpWebhookClient, WebhookTarget
from services.simulator.adapters.webhook_schedule import PostgresWebhookSchedule
from services.simulator.domain.fault_config import FaultConfig
from services.simulator.domain.statuses import PlannedStatus, ReceivedMessage
from services.simulator.jobs.ledger_writer import LedgerWriter
from services.simulator.jobs.webhook_sender import WebhookSender
from services.simulator.ports import LedgerWriteUnknownError
from services.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import TextClause

    from services.kit.postgres.database import Database
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
SECRET = b"app-secret"
MAKE_DUE = "UPDATE simulator.scheduled_webhooks SET due_at = now()"


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    values = {
        "database_url": test_database.url("simulator"),
        "token_keys": "x" * 32,
        "webhook_url": "http://localhost",
        "app_secrets": SECRET.decode(),
        "cloud_api_tokens": "x",
    }
    settings = SimulatorSettings.model_validate(values)
    async with open_database(settings, settings) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> PostgresLedgerStore:
    return PostgresLedgerStore(database)


@asynccontextmanager
async def running_ledger(store: PostgresLedgerStore) -> AsyncIterator[LedgerWriter]:
    """Run a ledger writer until the block ends."""
    stop, ledger = asyncio.Event(), LedgerWriter(store)
    writer = asyncio.create_task(ledger.run(stop))
    try:
        yield ledger
    finally:
        stop.set()
        await writer


class WebhookReceiver:
    """Collects webhooks, and rejects as many as `remaining_failures` says."""

    def __init__(self) -> None:
        self.remaining_failures = 0
        self.bodies: list[dict[str, Any]] = []
        self.invalid_signatures = 0

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        self.invalid_signatures += request.headers["X-Hub-Signature-256"] != expected
        self.bodies.append(json.loads(body))
        self.remaining_failures -= 1
        return web.Response(status=503 if self.remaining_failures >= 0 else 200)

    @asynccontextmanager
    async def webhook_sender(self, database: Database, **fault_config: Any) -> AsyncIterator[WebhookSender]:
        """Return a sender that posts to this receiver."""
        app = web.Application()
        app.router.add_post("/webhooks", self.receive)
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            target = WebhookTarget(str(server.make_url("/webhooks")), SECRET)
            yield WebhookSender(
                PostgresWebhookSchedule(database),
                HttpWebhookClient(client, target),
                FaultConfigStore(database, FaultConfig(**fault_config)),
            )

    def statuses(self) -> list[str]:
        return [
            status["status"]
            for body in self.bodies
            for entry in body["entry"]
            for status in entry["changes"][0]["value"]["statuses"]
        ]


def received_message(client_reference: str = "reference-1", number: str = "123") -> ReceivedMessage:
    wamid = f"wamid.{client_reference}"
    return ReceivedMessage(uuid7(), wamid, number, "5511999999999", client_reference, datetime.now(UTC))


async def test_concurrent_messages_are_recorded_and_counted(store: PostgresLedgerStore) -> None:
    async with running_ledger(store) as ledger:
        messages = [received_message(f"id-{index % 40}") for index in range(60)]
        await asyncio.gather(*(ledger.record(message, []) for message in messages))
    counts = await store.received_counts([f"id-{index}" for index in range(41)])
    assert [counts[f"id-{index}"] for index in (0, 19, 20, 39, 40)] == [2, 2, 1, 1, 0]
    assert await store.summary() == {"received": 60, "messages": 40, "pending_webhooks": 0}


async def test_repeated_write_counts_once(store: PostgresLedgerStore) -> None:
    message = received_message()
    async with running_ledger(store) as ledger:
        await ledger.record(message, [PlannedStatus(0, "sent")])
        await ledger.record(message, [PlannedStatus(0, "sent")])
    assert await store.received_counts(["reference-1"]) == {"reference-1": 1}


async def test_no_response_when_ledger_commit_fails(
    store: PostgresLedgerStore, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.simulator.jobs.ledger_writer.WRITE_TIMEOUT_SECONDS", 0.5)
    test_database.execute("ALTER TABLE simulator.received_messages RENAME TO elsewhere")
    async with running_ledger(store) as ledger:
        with pytest.raises(LedgerWriteUnknownError):
            await ledger.record(received_message(), [])


async def test_due_statuses_are_posted_signed_and_deleted(
    database: Database, store: PostgresLedgerStore
) -> None:
    receiver = WebhookReceiver()
    statuses = [PlannedStatus(-2, "sent"), PlannedStatus(-1, "delivered"), PlannedStatus(3600, "read")]
    async with running_ledger(store) as ledger:
        await ledger.record(received_message(), statuses)
    async with receiver.webhook_sender(database) as sender:
        assert await sender.send_due() == 2
    assert receiver.statuses() == ["sent", "delivered"]
    assert receiver.invalid_signatures == 0
    assert (await store.summary())["pending_webhooks"] == 1


async def test_webhook_has_at_most_the_configured_number_of_statuses(
    database: Database, store: PostgresLedgerStore
) -> None:
    receiver = WebhookReceiver()
    async with running_ledger(store) as ledger:
        for number in ("1", "1", "1", "2"):
            await ledger.record(received_message(number=number), [PlannedStatus(-1, "sent")])
    async with receiver.webhook_sender(database, statuses_per_webhook=3) as sender:
        await sender.send_due()
    sizes = [
        sum(len(entry["changes"][0]["value"]["statuses"]) for entry in body["entry"])
        for body in receiver.bodies
    ]
    assert sorted(sizes) == [1, 3]
    assert {entry["id"] for body in receiver.bodies for entry in body["entry"]} == {"waba-1", "waba-2"}


async def test_rejected_webhook_is_repeated_later(
    database: Database, store: PostgresLedgerStore, test_database: TestDatabase
) -> None:
    receiver = WebhookReceiver()
    async with running_ledger(store) as ledger:
        await ledger.record(received_message(), [PlannedStatus(-1, "sent")])
    receiver.remaining_failures = 1
    async with receiver.webhook_sender(database) as sender:
        assert await sender.send_due() == 0
        assert await sender.send_due() == 0
        assert len(receiver.bodies) == 1
        test_database.execute(MAKE_DUE)
        assert await sender.send_due() == 1


async def test_only_the_rejected_webhook_of_a_batch_is_repeated(
    database: Database, store: PostgresLedgerStore, test_database: TestDatabase
) -> None:
    receiver = WebhookReceiver()
    async with running_ledger(store) as ledger:
        await ledger.record(received_message(), [PlannedStatus(-1, "sent")] * 5)
    receiver.remaining_failures = 1
    async with receiver.webhook_sender(database, statuses_per_webhook=3) as sender:
        first = await sender.send_due()
        test_database.execute(MAKE_DUE)
        assert first + await sender.send_due() == 5
    assert len(receiver.bodies) == 3


async def test_two_replicas_post_a_status_once(database: Database, store: PostgresLedgerStore) -> None:
    receiver = WebhookReceiver()
    async with running_ledger(store) as ledger:
        messages = [received_message(f"id-{index}") for index in range(50)]
        await asyncio.gather(*(ledger.record(message, [PlannedStatus(-1, "sent")]) for message in messages))
    async with receiver.webhook_sender(database) as first, receiver.webhook_sender(database) as second:
        delivered = await asyncio.gather(first.send_due(), second.send_due())
    assert sum(delivered) == len(receiver.statuses()) == 50


async def test_fault_config_reaches_the_other_replica(database: Database) -> None:
    first, second = FaultConfigStore(database, FaultConfig()), FaultConfigStore(database, FaultConfig())
    await first.replace(FaultConfig(webhooks=False, error_rates={130429: 0.5}))
    await second.refresh()
    assert second.current == first.current
    assert second.current.error_rates == {130429: 0.5}
    await second.reset()
    await first.refresh()
    assert first.current == FaultConfig()


async def test_concurrent_refresh_does_not_undo_a_change(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_configs = FaultConfigStore(database, FaultConfig())
    replacement = FaultConfig(error_rates={130429: 1})
    has_read, may_continue, fetch_one = asyncio.Event(), asyncio.Event(), Transaction.fetch_one

    async def fetch_and_wait(transaction: Transaction, query: TextClause) -> Any:
        row = await fetch_one(transaction, query)
        has_read.set()
        await may_continue.wait()
        return row

    monkeypatch.setattr(Transaction, "fetch_one", fetch_and_wait)
    refreshing = asyncio.create_task(fault_configs.refresh())
    await has_read.wait()
    replacing = asyncio.create_task(fault_configs.replace(replacement))
    await asyncio.wait([replacing], timeout=0.3)
    may_continue.set()
    await asyncio.gather(refreshing, replacing)
    assert fault_configs.current == replacement
