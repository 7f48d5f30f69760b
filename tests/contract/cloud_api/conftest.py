"""The real simulator on loopback, with its real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.http.auth import JwtTokens
from tests.integration.conftest import PASSWORD, migrated, postgres
from tests.servers.service import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.postgres import Postgres

__all__ = ["migrated", "postgres", "process", "simulator"]

KEY = "a-key-of-forty-characters-for-the-tokens"
TOKEN = "cloud-token"
NO_DELAYS: dict[str, Any] = {"latency": {"median_ms": 0}, "webhooks": False}


class Simulator:
    """The simulator with its fault configuration and its ledger."""

    def __init__(self, process: ServiceProcess) -> None:
        self.process = process
        bearer = JwtTokens(KEY).issue("test", "acme", ["ledger:read", "simulator:faults"])
        self._client = httpx.Client(
            base_url=process.url, headers={"Authorization": f"Bearer {bearer}"}, trust_env=False
        )

    def set_faults(self, **faults: Any) -> None:
        """Configure faults; everything else has no delay and no errors."""
        self._client.put("/faults", json=NO_DELAYS | faults).raise_for_status()

    def received_counts(self, *client_references: str) -> dict[str, int]:
        """Return how often each message was received."""
        response = self._client.post("/ledger/query", json={"ids": client_references}).raise_for_status()
        counts: dict[str, int] = response.json()
        return counts

    def receipt_times(self, client_reference: str) -> list[float]:
        """Return when a message was received, in Unix seconds."""
        response = self._client.post("/ledger/times", json={"ids": [client_reference]}).raise_for_status()
        times: list[float] = response.json()[client_reference]
        return times

    def clock(self) -> float:
        """Return the Unix time of the simulator."""
        return float(self._client.get("/ledger/clock").raise_for_status().json()["now"])

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def process(
    postgres: Postgres, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Run one simulator for all tests of a module: it takes seconds to start."""
    database = postgres.copy(migrated)
    settings = {
        "ESQ_DATABASE_URL": postgres.url(database, "simulator_a", PASSWORD),
        "ESQ_TOKEN_KEYS": KEY,
        "ESQ_APP_SECRETS": "secret",
        "ESQ_CLOUD_API_TOKENS": TOKEN,
        "ESQ_WEBHOOK_URL": "http://127.0.0.1:9/webhooks/cloud",
        "ESQ_SEED": "1",
    }
    process = ServiceProcess("simulator", "api", tmp_path_factory.mktemp("simulator"), settings)
    process.start()
    yield process
    process.stop()
    postgres.drop(database)


@pytest.fixture
def simulator(process: ServiceProcess) -> Iterator[Simulator]:
    """Return the simulator without faults; start it if the test before killed it."""
    if not process.ready():
        process.start()
    simulator = Simulator(process)
    simulator.set_faults()
    yield simulator
    simulator.close()
