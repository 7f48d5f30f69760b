"""Both services as real processes on one database: what runs in pods, on loopback."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.auth import Tokens
from services.kit.ids import uuid7
from tests.controllers.process import free_port
from tests.controllers.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

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
        running = ServiceProcess(
            f"{service}.entrypoints.{process}", self._folder, self.settings | own | settings
        )
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

    def states(self) -> dict[str, int]:
        """Count messages by state."""
        printed = self.database.execute("SELECT state, count(*) FROM whatsapp.messages GROUP BY 1")
        return {state: int(count) for state, count in (line.split("|") for line in printed.splitlines())}

    def close(self) -> None:
        """End what was started."""
        for process in reversed(self._started):
            process.kill()


@pytest.fixture
def platform(test_database: TestDatabase, tmp_path: Path) -> Iterator[Platform]:
    running = Platform(test_database, tmp_path)
    yield running
    running.close()


@pytest.fixture
def kafka_settings(clean_kafka: Kafka) -> dict[str, str]:
    """What a worker needs to find the broker."""
    return {"ESQ_KAFKA_BOOTSTRAP": clean_kafka.bootstrap}
