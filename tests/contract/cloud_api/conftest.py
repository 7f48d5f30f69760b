"""The real simulator on loopback, with its real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.kit.auth import Tokens
from tests.controllers.service import ServiceProcess
from tests.integration.conftest import PASSWORD, migrated, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controllers.postgres import Postgres

__all__ = ["migrated", "postgres", "process", "simulator"]

KEY = "a-key-of-forty-characters-for-the-tokens"
TOKEN = "cloud-token"
QUICK: dict[str, Any] = {"latency": {"median_ms": 0}, "callbacks": False}


class Simulator:
    """The simulator and the switches of its faults."""

    def __init__(self, process: ServiceProcess) -> None:
        self.process = process
        bearer = Tokens(KEY).issue("test", "acme", ["ledger:read", "simulator:faults"])
        self._client = httpx.Client(
            base_url=process.url, headers={"Authorization": f"Bearer {bearer}"}, trust_env=False
        )

    def behave(self, **faults: Any) -> None:
        """Switch faults on; what is not named is quick and friendly."""
        self._client.put("/faults", json=QUICK | faults).raise_for_status()

    def received(self, *trackers: str) -> dict[str, int]:
        """Ask the ledger."""
        answer = self._client.post("/ledger/query", json={"ids": trackers}).raise_for_status()
        counts: dict[str, int] = answer.json()
        return counts

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def process(
    postgres: Postgres, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """One simulator for all tests of a module: it takes seconds to start."""
    database = postgres.copy(migrated)
    settings = {
        "ESQ_DATABASE_URL": postgres.url(database, "simulator", PASSWORD),
        "ESQ_TOKEN_KEY": KEY,
        "ESQ_APP_SECRET": "secret",
        "ESQ_CLOUD_API_TOKEN": TOKEN,
        "ESQ_CALLBACK_URL": "http://127.0.0.1:9/webhooks/cloud",
        "ESQ_SEED": "1",
    }
    process = ServiceProcess("simulator", "api", tmp_path_factory.mktemp("simulator"), settings)
    process.start()
    yield process
    process.stop()
    postgres.drop(database)


@pytest.fixture
def simulator(process: ServiceProcess) -> Iterator[Simulator]:
    """The simulator, quick and friendly; started again if the test before this one killed it."""
    if not process.ready():
        process.start()
    running = Simulator(process)
    running.behave()
    yield running
    running.close()
