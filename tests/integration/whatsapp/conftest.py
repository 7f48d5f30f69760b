"""Both services as real processes on one database: what runs in pods, on loopback."""

from __future__ import annotations

from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.auth import Tokens
from services.kit.database import open_database
from services.kit.events import decode
from services.kit.ids import uuid7
from services.whatsapp.adapters.claims import PostgresClaims
from services.whatsapp.adapters.due import PostgresDue
from services.whatsapp.bootstrap import assemble_api
from services.whatsapp.settings import ApiSettings, DispatcherSettings
from tests.controllers.process import free_port
from tests.controllers.service import ServiceProcess
from tests.controllers.told import single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from uuid import UUID

    from services.kit.database import Database
    from services.whatsapp.domain import Claim
    from tests.controllers.kafka import Kafka
    from tests.integration.conftest import TestDatabase

KEY = "a-key-of-forty-characters-for-the-tokens"
SCOPES = ["ledger:read", "simulator:faults", "connections:write"]
NUMBER = "123456"


def repeatable() -> Random:
    """Return draws that are the same on every run."""
    return Random(1)


class Platform:
    """Simulator and whatsapp processes that know each other; each is started by the test that needs it."""

    def __init__(self, database: TestDatabase, folder: Path) -> None:
        self.database = database
        self._folder = folder
        self._started: list[ServiceProcess] = []
        self.settings = {
            "ESQ_TOKEN_KEY": KEY,
            "ESQ_APP_SECRET": "app-secret",
            "ESQ_VERIFY_TOKEN": "verify",
            "ESQ_CLOUD_API_TOKEN": "cloud-token",
            "ESQ_REDIS_SERVER": f"127.0.0.1:{free_port()}",
            "ESQ_CALLBACK_URL": f"http://127.0.0.1:{free_port()}/webhooks/cloud",
            "ESQ_CLOUD_API_URL": f"http://127.0.0.1:{free_port()}",
        }

    def start(self, service: str, process: str, **settings: str) -> ServiceProcess:
        """Start a process with further settings."""
        own = {"ESQ_SERVICE": service, "ESQ_DATABASE_URL": self.database.url(service)}
        running = ServiceProcess(service, process, self._folder, self.settings | own | settings)
        self._started.append(running)
        running.start()
        return running

    def start_simulator(self, **behaviour: Any) -> ServiceProcess:
        """Start the simulator; whatsapp processes started later send to it."""
        simulator = self.start("simulator", "api", ESQ_SEED="1")
        self.settings["ESQ_CLOUD_API_URL"] = simulator.url
        self.ask(simulator, "PUT", "/faults", behaviour)
        return simulator

    def connect(
        self, api: ServiceProcess, name: str = "main", number: str = NUMBER, rate: float = 2000
    ) -> None:
        """Give the company a connection."""
        body = {"phone_number_id": number, "messages_per_second": rate}
        self.ask(api, "PUT", f"/connections/{name}", body)

    def ask(self, process: ServiceProcess, method: str, path: str, body: Any = None) -> Any:
        """Ask one of our addresses with a token that may do everything."""
        bearer = Tokens(KEY).issue("test", "acme", SCOPES)
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = httpx.request(
            method, process.url + path, json=body, headers=headers, timeout=30, trust_env=False
        )
        return answer.raise_for_status().json()

    def received(self, simulator: ServiceProcess, ids: list[UUID]) -> dict[str, int]:
        """Ask the ledger."""
        counts: dict[str, int] = self.ask(
            simulator, "POST", "/ledger/query", {"ids": [str(it) for it in ids]}
        )
        return counts

    def request(self, count: int, connection: str = "main") -> list[UUID]:
        """Put messages where the consumer would."""
        ids = [uuid7() for _ in range(count)]
        rows = ",".join(
            f"('acme','{it}','campaign','contact','{connection}','+55119{place:08d}','Hello')"
            for place, it in enumerate(ids)
        )
        self.database.execute(
            "INSERT INTO whatsapp.messages"
            f" (company, message_id, campaign_id, contact_id, connection, recipient, body) VALUES {rows}"
        )
        return ids

    def add_connection(
        self, company: str = "acme", name: str = "main", number: str = NUMBER, rate: str = "NULL"
    ) -> None:
        """Put a connection where the API would, with nothing sent from it for an hour."""
        self.database.execute(f"INSERT INTO whatsapp.numbers VALUES ('{number}', '{company}')")
        self.database.execute(
            "INSERT INTO whatsapp.connections (company, name, phone_number_id, rate, tokens, filled_at)"
            f" VALUES ('{company}', '{name}', '{number}', {rate}, 0, now() - interval '1 hour')"
        )

    def told(self) -> list[Any]:
        """Return what the events in the outbox tell, in order."""
        lines = self.database.execute(
            "SELECT encode(payload, 'hex') FROM whatsapp.outbox ORDER BY id"
        ).splitlines()
        return single(decode(bytes.fromhex(line)).event for line in lines)

    def states(self) -> dict[str, int]:
        """Count messages by state."""
        printed = self.database.execute("SELECT state, count(*) FROM whatsapp.messages GROUP BY 1")
        return {state: int(count) for state, count in (line.split("|") for line in printed.splitlines())}

    def close(self) -> None:
        """End what was started."""
        for process in reversed(self._started):
            process.kill()


class Taker(PostgresClaims):
    """Claims from whatever is due, as a dispatcher does that has no Redis."""

    def __init__(self, database: Database, settings: DispatcherSettings) -> None:
        super().__init__(database, settings)
        self._due = PostgresDue(database)

    async def take(self, most: int) -> list[Claim]:
        return (await self.claim(await self._due.look(100), most)).claims


@pytest.fixture
def platform(test_database: TestDatabase, tmp_path: Path) -> Iterator[Platform]:
    running = Platform(test_database, tmp_path)
    yield running
    running.close()


@pytest.fixture
def connection(platform: Platform) -> None:
    """Give the company a connection at the default rate."""
    platform.add_connection()


@pytest.fixture
def dispatcher_settings(platform: Platform) -> DispatcherSettings:
    values = {
        "database_url": platform.database.url("whatsapp"),
        "cloud_api_url": "http://127.0.0.1:9",
        "cloud_api_token": "x",
        "messages_per_second": 2000,
        "redis_server": f"127.0.0.1:{free_port()}",
    }
    return DispatcherSettings.model_validate(values)


@pytest.fixture
def api_settings(platform: Platform) -> ApiSettings:
    values = {
        "database_url": platform.database.url("whatsapp"),
        "token_key": KEY,
        "app_secret": platform.settings["ESQ_APP_SECRET"],
        "verify_token": platform.settings["ESQ_VERIFY_TOKEN"],
        "redis_server": f"127.0.0.1:{free_port()}",
    }
    return ApiSettings.model_validate(values)


@pytest.fixture
async def database(dispatcher_settings: DispatcherSettings) -> AsyncIterator[Database]:
    async with open_database(dispatcher_settings, dispatcher_settings) as opened:
        yield opened


@pytest.fixture
def claims(database: Database, dispatcher_settings: DispatcherSettings) -> Taker:
    return Taker(database, dispatcher_settings)


@pytest.fixture
async def client(api_settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """Give a caller of the API, which runs in the test."""
    async with AsyncExitStack() as stack:
        parts = await assemble_api(api_settings, stack)
        transport = httpx.ASGITransport(parts.app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://api"))


@pytest.fixture
def kafka_settings(clean_kafka: Kafka) -> dict[str, str]:
    """What a worker needs to find the broker."""
    return {"ESQ_KAFKA_BOOTSTRAP": clean_kafka.bootstrap}
