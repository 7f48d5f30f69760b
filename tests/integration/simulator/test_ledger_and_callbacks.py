"""The simulator on real Postgres: what is answered is on disk, what is due is posted until it is answered."""

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

from services.kit.database import Work, open_database
from services.kit.ids import uuid7
from services.simulator.adapters.callbacks import Postman, Receiver, delay_after
from services.simulator.adapters.controls import Controls
from services.simulator.adapters.ledger import Ledger, NotRecordedError
from services.simulator.behaviour import Behaviour
from services.simulator.settings import SimulatorSettings
from services.simulator.statuses import Report, Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import TextClause

    from services.kit.database import Database
    from tests.integration.conftest import TestDatabase

pytestmark = pytest.mark.integration
SECRET = b"app-secret"


@pytest.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    values = {
        "database_url": test_database.url("simulator"),
        "token_key": "x" * 32,
        "callback_url": "http://localhost",
        "app_secret": SECRET.decode(),
        "cloud_api_token": "x",
    }
    settings = SimulatorSettings.model_validate(values)
    async with open_database(settings, settings) as opened:
        yield opened


@asynccontextmanager
async def writing(ledger: Ledger) -> AsyncIterator[None]:
    """The ledger's writer runs for as long as the block lasts."""
    stop = asyncio.Event()
    writer = asyncio.create_task(ledger.run(stop))
    try:
        yield
    finally:
        stop.set()
        await writer


class Inbox:
    """Takes callbacks and answers as it is told."""

    def __init__(self) -> None:
        self.refusals = 0
        self.bodies: list[dict[str, Any]] = []
        self.forged = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        self.forged += request.headers["X-Hub-Signature-256"] != expected
        self.bodies.append(json.loads(body))
        self.refusals -= 1
        return web.Response(status=503 if self.refusals >= 0 else 200)

    @asynccontextmanager
    async def postman(self, database: Database, **behaviour: Any) -> AsyncIterator[Postman]:
        """Give one that posts here."""
        app = web.Application()
        app.router.add_post("/webhooks", self.take)
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            receiver = Receiver(str(server.make_url("/webhooks")), SECRET)
            yield Postman(database, client, receiver, Controls(database, Behaviour(**behaviour)))

    def statuses(self) -> list[str]:
        return [
            status["status"]
            for body in self.bodies
            for entry in body["entry"]
            for status in entry["changes"][0]["value"]["statuses"]
        ]


def send(tracker: str = "ours", number: str = "123") -> Send:
    return Send(uuid7(), f"wamid.{tracker}", number, "5511999999999", tracker, datetime.now(UTC))


async def test_sends_that_arrive_together_are_written_together_and_counted(database: Database) -> None:
    ledger = Ledger(database)
    async with writing(ledger):
        await asyncio.gather(*(ledger.record(send(f"id-{place % 40}"), []) for place in range(60)))
    counts = await ledger.received([f"id-{place}" for place in range(41)])
    assert [counts[f"id-{place}"] for place in (0, 19, 20, 39, 40)] == [2, 2, 1, 1, 0]
    assert await ledger.summary() == {"received": 60, "messages": 40, "callbacks_waiting": 0}


async def test_a_write_that_is_repeated_counts_once(database: Database) -> None:
    ledger = Ledger(database)
    one = send()
    async with writing(ledger):
        await ledger.record(one, [Report(0, "sent")])
        await ledger.record(one, [Report(0, "sent")])
    assert await ledger.received(["ours"]) == {"ours": 1}


async def test_without_database_nobody_is_told_anything(
    database: Database, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.simulator.adapters.ledger.DEADLINE_SECONDS", 0.5)
    ledger = Ledger(database)
    test_database.execute("ALTER TABLE simulator.sends RENAME TO elsewhere")
    async with writing(ledger):
        with pytest.raises(NotRecordedError):
            await ledger.record(send(), [])


async def test_due_reports_are_posted_signed_and_then_forgotten(database: Database) -> None:
    ledger, inbox = Ledger(database), Inbox()
    async with writing(ledger):
        await ledger.record(send(), [Report(-2, "sent"), Report(-1, "delivered"), Report(3600, "read")])
    async with inbox.postman(database) as postman:
        assert await postman.step() == 2
    assert inbox.statuses() == ["sent", "delivered"]
    assert inbox.forged == 0
    assert (await ledger.summary())["callbacks_waiting"] == 1


async def test_a_callback_holds_no_more_reports_than_the_batch(database: Database) -> None:
    ledger, inbox = Ledger(database), Inbox()
    async with writing(ledger):
        for number in ("1", "1", "1", "2"):
            await ledger.record(send(number=number), [Report(-1, "sent")])
    async with inbox.postman(database, batch=3) as postman:
        await postman.step()
    sizes = [
        sum(len(entry["changes"][0]["value"]["statuses"]) for entry in body["entry"]) for body in inbox.bodies
    ]
    assert sorted(sizes) == [1, 3]
    assert {entry["id"] for body in inbox.bodies for entry in body["entry"]} == {"waba-1", "waba-2"}


async def test_a_callback_that_is_not_answered_with_200_comes_again_later(
    database: Database, test_database: TestDatabase
) -> None:
    ledger, inbox = Ledger(database), Inbox()
    async with writing(ledger):
        await ledger.record(send(), [Report(-1, "sent")])
    inbox.refusals = 1
    async with inbox.postman(database) as man:
        assert await man.step() == 0
        assert await man.step() == 0
        assert len(inbox.bodies) == 1
        test_database.execute("UPDATE simulator.due_callbacks SET due_at = now()")
        assert await man.step() == 1


async def test_of_what_is_told_at_once_only_the_callback_that_failed_comes_again(
    database: Database, test_database: TestDatabase
) -> None:
    ledger, inbox = Ledger(database), Inbox()
    async with writing(ledger):
        await ledger.record(send(), [Report(-1, "sent")] * 5)
    inbox.refusals = 1
    async with inbox.postman(database, batch=3) as man:
        first = await man.step()
        test_database.execute("UPDATE simulator.due_callbacks SET due_at = now()")
        assert first + await man.step() == 5
    assert len(inbox.bodies) == 3


async def test_two_replicas_post_a_report_once(database: Database) -> None:
    ledger, inbox = Ledger(database), Inbox()
    async with writing(ledger):
        await asyncio.gather(
            *(ledger.record(send(f"id-{place}"), [Report(-1, "sent")]) for place in range(50))
        )
    async with inbox.postman(database) as one, inbox.postman(database) as other:
        delivered = await asyncio.gather(one.step(), other.step())
    assert sum(delivered) == len(inbox.statuses()) == 50


async def test_a_behaviour_set_at_one_replica_reaches_the_other(database: Database) -> None:
    one, other = Controls(database, Behaviour()), Controls(database, Behaviour())
    await one.replace(Behaviour(callbacks=False, error_rates={130429: 0.5}))
    await other.refresh()
    assert other.current == one.current
    assert other.current.error_rates == {130429: 0.5}
    await other.reset()
    await one.refresh()
    assert one.current == Behaviour()


async def test_a_refresh_under_way_does_not_undo_a_change(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    controls, wanted = Controls(database, Behaviour()), Behaviour(error_rates={130429: 1})
    has_read, may_go_on, read = asyncio.Event(), asyncio.Event(), Work.row

    async def read_and_wait(work: Work, query: TextClause) -> Any:
        row = await read(work, query)
        has_read.set()
        await may_go_on.wait()
        return row

    monkeypatch.setattr(Work, "row", read_and_wait)
    refreshing = asyncio.create_task(controls.refresh())
    await has_read.wait()
    replacing = asyncio.create_task(controls.replace(wanted))
    await asyncio.wait([replacing], timeout=0.3)
    may_go_on.set()
    await asyncio.gather(refreshing, replacing)
    assert controls.current == wanted


def test_waits_between_posts_grow_and_are_bounded() -> None:
    assert [delay_after(attempts) for attempts in (0, 1, 2, 3)] == [1, 2, 4, 8]
    assert delay_after(1000) == 60
