"""CPU time per message of the whatsapp service with and without tracing, in alternating rounds.

One process handles requests, leases and sends the messages, records the results, and stores and applies their
webhooks: the code of four processes, on real Postgres. Only its own CPU time counts. Another process answers
as provider and as collector of traces. Rounds without tracing, with the default ratio and with every trace
recorded alternate.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack, contextmanager
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, cast

import uvloop
from aiohttp import web

from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1.events_pb2 import MessageRequested, MessagesRequested
from services.kit.http.client import open_http_client
from services.kit.ids import uuid7
from services.kit.jobs.migrate import MigrateSettings, migrate
from services.kit.kafka.consumer import EventConsumer
from services.kit.kafka.envelope import OutboundEvent
from services.kit.kafka.failed_records import ConsumedRecord
from services.kit.observability import tracing
from services.kit.observability.span_export import start_export
from services.kit.postgres.database import open_database
from services.kit.runtime import GC_THRESHOLD
from services.kit.settings import ProcessSettings
from services.whatsapp.adapters.cloud_api_sender import CloudApiSender
from services.whatsapp.adapters.message_leases import PostgresMessageLeases
from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
from services.whatsapp.bootstrap import build_api
from services.whatsapp.consumers.send_requests import SendRequestHandler
from services.whatsapp.domain.sending import ReadyConnection
from services.whatsapp.domain.signature import SIGNATURE_HEADER, sign
from services.whatsapp.fakes import FakeReadyQueue
from services.whatsapp.jobs.dispatcher import Dispatcher
from services.whatsapp.jobs.webhook_processor import WebhookProcessor
from services.whatsapp.settings import ApiSettings, DispatcherSettings
from tests.integration.conftest import apply_accounts, database_urls
from tests.servers.postgres import Postgres
from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from starlette.types import ASGIApp, Message

    from services.kit.kafka.client import Publisher
    from services.kit.kafka.kafka_consumer import KafkaConsumer

ROUNDS = 9
MESSAGES = 960
MESSAGES_PER_EVENT = 96
STATUSES_PER_WEBHOOK = 10
DEFAULT_RATIO: float = ProcessSettings.model_fields["traces_ratio"].default
MODES: dict[str, float | None] = {"off": None, "default": DEFAULT_RATIO, "all": 1.0}
"""Ratio of recorded traces; None means no tracer."""
NUMBER, SECRET = "123456", "app-secret"
DATABASE = "tracing"


def serve(port: int) -> None:
    """Answer as the provider and as a collector."""

    async def accept(_request: web.Request) -> web.Response:
        return web.json_response({"messages": [{"id": f"wamid.{uuid7().hex}"}]})

    async def collect(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=1 << 26)
    app.add_routes([web.post("/v1/traces", collect), web.post("/{number}/messages", accept)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


class Records:
    """A topic with some records, read once."""

    service = "whatsapp"

    def __init__(self, records: Sequence[ConsumedRecord]) -> None:
        self._records = list(records)
        self.stop = asyncio.Event()

    async def poll(self, limit: int) -> list[ConsumedRecord]:
        """Return the next records."""
        batch, self._records = self._records[:limit], self._records[limit:]
        if not self._records:
            self.stop.set()
        return batch

    async def commit(self, records: Sequence[ConsumedRecord]) -> None:
        """Keep no offsets."""


class Service:
    """The handlers of the whatsapp service, and the address of the provider."""

    def __init__(self, urls: dict[str, str], server: str) -> None:
        self._server = server
        self._values = {
            "database_url": urls["whatsapp"],
            "cloud_api_url": server,
            "cloud_api_tokens": "token",
            "messages_per_second": 2000,
            "redis_server": "127.0.0.1:9",
            "token_keys": "k" * 32,
            "app_secrets": SECRET,
            "verify_tokens": "verify",
        }

    async def open(self, stack: AsyncExitStack) -> None:
        """Open database, HTTP client and application."""
        settings = DispatcherSettings.model_validate(self._values)
        database = await stack.enter_async_context(open_database(settings, settings))
        client = await stack.enter_async_context(
            open_http_client(settings, timeout_seconds=10, max_connections=settings.concurrency)
        )
        self._uow = PostgresUnitOfWorkFactory(database)
        self._settings = settings
        self._leases = PostgresMessageLeases(database, settings)
        self._sender = CloudApiSender(client, self._server, "token")
        self._app = (await build_api(ApiSettings.model_validate(self._values), stack)).app
        async with database.transaction() as transaction:
            from sqlalchemy import text  # noqa: PLC0415 - only to prepare the data

            await transaction.execute(text(f"INSERT INTO phone_numbers VALUES ('{NUMBER}', 'acme')"))  # noqa: S608 - a constant
            await transaction.execute(
                text(
                    "INSERT INTO connections (company, name, phone_number_id, tokens)"  # noqa: S608 - a constant
                    f" VALUES ('acme', 'main', '{NUMBER}', 2000)"
                )
            )
            await transaction.commit()

    async def handle_messages(self) -> None:
        """Take a round of messages from the request to the status `delivered`."""
        ids = [uuid7() for _ in range(MESSAGES)]
        await self._consume(ids)
        await self._dispatch()
        for start in range(0, MESSAGES, STATUSES_PER_WEBHOOK):
            await self._post_webhook(ids[start : start + STATUSES_PER_WEBHOOK])
        processor = WebhookProcessor(self._uow)
        while await processor.process_batch():
            continue

    async def _consume(self, ids: Sequence[UUID]) -> None:
        parts = [ids[start : start + MESSAGES_PER_EVENT] for start in range(0, MESSAGES, MESSAGES_PER_EVENT)]
        source = Records([_record(part, offset) for offset, part in enumerate(parts)])
        handler = SendRequestHandler(self._uow, FakeReadyQueue()).handle
        no_publisher = cast("Publisher", None)
        await EventConsumer(cast("KafkaConsumer", source), no_publisher, handler).run(source.stop)

    async def _dispatch(self) -> None:
        queue = FakeReadyQueue()
        await queue.push([(ReadyConnection("acme", "main"), 0.0)])
        dispatcher = Dispatcher(
            self._leases,
            queue,
            self._sender,
            self._settings,
            Random(1),  # noqa: S311 - no secret
            permits=lambda requested: requested,
        )
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(dispatcher.run(stop)),
            asyncio.create_task(dispatcher.write_results(stop)),
        ]
        while queue.pending or await self._queued():
            await asyncio.sleep(0.2)
            await queue.push([(ReadyConnection("acme", "main"), 0.0)])
            if not await self._queued():
                break
        stop.set()
        await asyncio.gather(*tasks)

    async def _queued(self) -> int:
        async with self._uow() as uow:
            details = await uow.connections.find("acme", "main")
        return details.pending_messages if details else 0

    async def _post_webhook(self, ids: Sequence[UUID]) -> None:
        statuses = [
            {
                "id": f"wamid.{message_id.hex}",
                "status": "delivered",
                "timestamp": "1790000000",
                "biz_opaque_callback_data": str(message_id),
            }
            for message_id in ids
        ]
        value = {"metadata": {"phone_number_id": NUMBER}, "statuses": statuses}
        body = json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode()
        signature = sign(SECRET.encode(), body).encode()
        await _post(self._app, "/webhooks/cloud", body, [(SIGNATURE_HEADER.lower().encode(), signature)])


def _record(ids: Sequence[UUID], offset: int) -> ConsumedRecord:
    """Return a record with requests, as the planner's relay publishes it in the trace of a request."""
    with tracing.span("POST /campaigns", ""):
        requests = [
            MessageRequested(
                message_id=str(message_id),
                campaign_id="campaign",
                contact_id="contact",
                connection="main",
                to="+5511999999999",
                text="Ana, your order is on its way. " * 4,
            )
            for message_id in ids
        ]
        event = OutboundEvent.create(MESSAGE_REQUESTED, "main", "acme", MessagesRequested(requests=requests))
        return ConsumedRecord(MESSAGE_REQUESTED.name, 0, offset, b"main", event.encode(), {}, time.time())


async def _post(app: ASGIApp, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Call an application as a server does."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-length", str(len(body)).encode()), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] != HTTPStatus.OK:
            raise RuntimeError(f"status {message['status']}")

    await app(scope, receive, send)


@contextmanager
def recording(ratio: float | None, server: str) -> Iterator[None]:
    """Record spans for the duration of the block.

    Args:
        ratio: ratio of recorded traces; None for no tracer.
        server: URL of the collector.
    """
    if ratio is None:
        yield
        return
    values = {"service": "whatsapp", "traces_endpoint": server, "traces_ratio": ratio}
    stop = start_export(ProcessSettings.model_validate(values))
    try:
        yield
    finally:
        stop()


async def measure(urls: dict[str, str], server: str) -> dict[str, list[float]]:
    """Measure all rounds.

    Args:
        urls: database URL by service.
        server: URL of the provider.

    Returns:
        CPU microseconds per message of each mode's rounds.
    """
    microseconds: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        service = Service(urls, server)
        await service.open(stack)
        await service.handle_messages()  # warms caches up
        gc.freeze()  # as the runtime of a service does
        gc.set_threshold(GC_THRESHOLD)
        for number in range(ROUNDS):
            order = list(MODES) if number % 2 else list(reversed(MODES))
            for mode in order:
                with recording(MODES[mode], server):
                    gc.collect()
                    started_at = time.process_time()
                    await service.handle_messages()
                    used = time.process_time() - started_at
                microseconds[mode].append(used / MESSAGES * 1e6)
    return microseconds


def main() -> None:
    """Print the medians, and the ratios of neighbouring rounds."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    postgres = Postgres()
    try:
        postgres.start()
        apply_accounts(postgres, DATABASE)
        urls = database_urls(postgres, DATABASE)
        asyncio.run(migrate(MigrateSettings(), urls))
        rounds = uvloop.run(measure(urls, f"http://127.0.0.1:{port}"))
    finally:
        postgres.stop()
        server.terminate()
    report = {
        "messages_per_round": MESSAGES,
        "default_ratio": DEFAULT_RATIO,
        "cpu_microseconds_per_message": {
            mode: round(statistics.median(values)) for mode, values in rounds.items()
        },
        "overhead_percent": {
            mode: round((statistics.median(_ratios(rounds[mode], rounds["off"])) - 1) * 100, 1)
            for mode in MODES
            if mode != "off"
        },
        "rounds": {mode: [round(value) for value in values] for mode, values in rounds.items()},
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, base, strict=True)]


if __name__ == "__main__":
    main()
