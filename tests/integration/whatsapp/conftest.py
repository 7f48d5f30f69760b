"""Simulator and whatsapp as real processes on one database, on loopback, as they run in pods."""

from __future__ import annotations

from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.http.auth import JwtTokens
from services.kit.ids import uuid7
from services.kit.kafka.envelope import decode
from services.kit.postgres.database import open_database
from services.whatsapp.adapters.message_leases import PostgresMessageLeases
from services.whatsapp.adapters.postgres import PostgresUnitOfWorkFactory
from services.whatsapp.adapters.ready_connections import PostgresReadyConnections
from services.whatsapp.bootstrap import build_api
from services.whatsapp.settings import ApiSettings, DispatcherSettings
from tests.servers.event_batches import flatten
from tests.servers.process import free_port
from tests.servers.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from uuid import UUID

    from services.kit.postgres.database import Database
    from services.whatsapp.domain.sending import LeasedMessage
    from tests.integration.conftest import TestDatabase
    from tests.servers.kafka import Kafka

KEY = "a-key-of-forty-characters-for-the-tokens"
SCOPES = ["ledger:read", "simulator:faults", "connections:write"]
NUMBER = "123456"


def seeded_random() -> Random:
    """Return a generator with the same draws on every run."""
    return Random(1)


class PlatformUnderTest:
    """Simulator and whatsapp processes that know each other's addresses; each test starts what it needs."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self._folder = folder
        self._started: list[ServiceProcess] = []
        self.settings = {
            "ESQ_TOKEN_KEYS": KEY,
            "ESQ_APP_SECRETS": "app-secret",
            "ESQ_VERIFY_TOKENS": "verify",
            "ESQ_CLOUD_API_TOKENS": "cloud-token",
            "ESQ_REDIS_SERVER": f"127.0.0.1:{free_port()}",
            "ESQ_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/webhooks/cloud",
            "ESQ_CLOUD_API_URL": f"http://127.0.0.1:{free_port()}",
        }

    def start(self, service: str, process_type: str, **settings: str) -> ServiceProcess:
        """Start a process with additional settings."""
        service_settings = {"ESQ_SERVICE": service, "ESQ_DATABASE_URL": self.database.url(service)}
        process = ServiceProcess(
            service, process_type, self._folder, self.settings | service_settings | settings
        )
        self._started.append(process)
        process.start()
        return process

    def start_simulator(self, **fault_config: Any) -> ServiceProcess:
        """Start the simulator; whatsapp processes started later send to it."""
        simulator = self.start("simulator", "api", ESQ_SEED="1")
        self.settings["ESQ_CLOUD_API_URL"] = simulator.url
        self.call(simulator, "PUT", "/faults", fault_config)
        return simulator

    def put_connection(
        self, api: ServiceProcess, name: str = "main", number: str = NUMBER, rate: float = 2000
    ) -> None:
        """Create a connection of the company."""
        body = {"phone_number_id": number, "messages_per_second": rate}
        self.call(api, "PUT", f"/connections/{name}", body)

    def call(self, process: ServiceProcess, method: str, path: str, body: Any = None) -> Any:
        """Call a process with a token of all scopes."""
        bearer = JwtTokens(KEY).issue("test", "acme", SCOPES)
        headers = {"Authorization": f"Bearer {bearer}"}
        response = httpx.request(
            method, process.url + path, json=body, headers=headers, timeout=30, trust_env=False
        )
        return response.raise_for_status().json()

    def received_counts(self, simulator: ServiceProcess, ids: list[UUID]) -> dict[str, int]:
        """Return how often the simulator received each message."""
        body = {"ids": [str(message_id) for message_id in ids]}
        counts: dict[str, int] = self.call(simulator, "POST", "/ledger/query", body)
        return counts

    def queue_messages(self, count: int, connection: str = "main") -> list[UUID]:
        """Insert messages as the consumer does."""
        ids = [uuid7() for _ in range(count)]
        rows = ",".join(
            f"('acme','{message_id}','campaign','contact','{connection}','+55119{index:08d}','Hello')"
            for index, message_id in enumerate(ids)
        )
        self.database.execute(
            "INSERT INTO whatsapp.messages"
            f" (company, message_id, campaign_id, contact_id, connection, recipient, text) VALUES {rows}"
        )
        return ids

    def add_connection(
        self, company: str = "acme", name: str = "main", number: str = NUMBER, rate: str = "NULL"
    ) -> None:
        """Insert a connection as the API does, idle for an hour."""
        self.database.execute(f"INSERT INTO whatsapp.phone_numbers VALUES ('{number}', '{company}')")
        self.database.execute(
            "INSERT INTO whatsapp.connections (company, name, phone_number_id, rate, tokens, refilled_at)"
            f" VALUES ('{company}', '{name}', '{number}', {rate}, 0, now() - interval '1 hour')"
        )

    def events(self) -> list[Any]:
        """Return the events in the outbox, in order."""
        lines = self.database.execute(
            "SELECT encode(payload, 'hex') FROM whatsapp.outbox ORDER BY id"
        ).splitlines()
        return flatten(decode(bytes.fromhex(line)).event for line in lines)

    def state_counts(self) -> dict[str, int]:
        """Return the number of messages by state."""
        printed = self.database.execute("SELECT state, count(*) FROM whatsapp.messages GROUP BY 1")
        return {state: int(count) for state, count in (line.split("|") for line in printed.splitlines())}

    def close(self) -> None:
        """Kill all started processes."""
        for process in reversed(self._started):
            process.kill()


class PollingLeases(PostgresMessageLeases):
    """Leases from every connection with due messages, as a dispatcher does without Redis."""

    def __init__(self, database: Database, settings: DispatcherSettings) -> None:
        super().__init__(database, settings)
        self._ready_connections = PostgresReadyConnections(database)

    async def lease_ready(self, limit: int) -> list[LeasedMessage]:
        """Lease messages of all ready connections."""
        return (await self.lease(await self._ready_connections.list_ready(100), limit)).messages


@pytest.fixture
def platform(test_database: TestDatabase, tmp_path: Path) -> Iterator[PlatformUnderTest]:
    platform = PlatformUnderTest(test_database, tmp_path)
    yield platform
    platform.close()


@pytest.fixture
def connection(platform: PlatformUnderTest) -> None:
    """Create a connection at the default rate."""
    platform.add_connection()


@pytest.fixture
def dispatcher_settings(platform: PlatformUnderTest) -> DispatcherSettings:
    values = {
        "database_url": platform.database.url("whatsapp"),
        "cloud_api_url": "http://127.0.0.1:9",
        "cloud_api_tokens": "x",
        "messages_per_second": 2000,
        "redis_server": f"127.0.0.1:{free_port()}",
    }
    return DispatcherSettings.model_validate(values)


@pytest.fixture
def api_settings(platform: PlatformUnderTest) -> ApiSettings:
    values = {
        "database_url": platform.database.url("whatsapp"),
        "token_keys": KEY,
        "app_secrets": platform.settings["ESQ_APP_SECRETS"],
        "verify_tokens": platform.settings["ESQ_VERIFY_TOKENS"],
        "redis_server": f"127.0.0.1:{free_port()}",
    }
    return ApiSettings.model_validate(values)


@pytest.fixture
async def database(dispatcher_settings: DispatcherSettings) -> AsyncIterator[Database]:
    async with open_database(dispatcher_settings, dispatcher_settings) as opened:
        yield opened


@pytest.fixture
def unit_of_work(database: Database) -> PostgresUnitOfWorkFactory:
    return PostgresUnitOfWorkFactory(database)


@pytest.fixture
def leases(database: Database, dispatcher_settings: DispatcherSettings) -> PollingLeases:
    return PollingLeases(database, dispatcher_settings)


@pytest.fixture
async def client(api_settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the API, which runs in the test's own process."""
    async with AsyncExitStack() as stack:
        components = await build_api(api_settings, stack)
        transport = httpx.ASGITransport(components.app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://api"))


@pytest.fixture
def kafka_settings(clean_kafka: Kafka) -> dict[str, str]:
    """Return the settings of a worker on the test's broker."""
    return clean_kafka.account("whatsapp")
