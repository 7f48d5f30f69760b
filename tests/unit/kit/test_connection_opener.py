"""Postgres connections: opened one at a time, kept for the next caller, with a backoff after a failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from services.kit.postgres.connection_opener import RECONNECT_BACKOFF_SECONDS, SingleFlightConnector
from tests.clock import FakeClock
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FakeServer:
    """A Postgres server that accepts connections when `accepting` is set, and counts the attempts."""

    def __init__(self) -> None:
        self.attempts = 0
        self.accepting = asyncio.Event()
        self.unavailable = False
        self.opened: list[FakeConnection] = []

    def restart(self) -> None:
        for connection in self.opened:
            connection.terminate()

    async def connect(self, _url: str, **_: object) -> FakeConnection:
        self.attempts += 1
        await self.accepting.wait()
        if self.unavailable:
            raise OSError("refused")
        self.opened.append(FakeConnection())
        return self.opened[-1]


class FakeConnection:
    """A connection to the server."""

    def __init__(self) -> None:
        self._closed = False

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        self._closed = True


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServer]:
    server = FakeServer()
    monkeypatch.setattr(asyncpg, "connect", server.connect)
    yield server
    server.accepting.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connector(clock: FakeClock) -> SingleFlightConnector:
    return SingleFlightConnector("postgres", "postgresql+asyncpg://campaigns:secret@db/esq", {}, clock)


async def connect_and_time_out(connector: SingleFlightConnector) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connector.connect()


async def wait_for_opening() -> None:
    """Wait until the connection being opened is open, or has failed."""
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)


async def test_timed_out_callers_share_one_attempt(
    connector: SingleFlightConnector, server: FakeServer
) -> None:
    await asyncio.gather(*(connect_and_time_out(connector) for _ in range(8)))
    await connect_and_time_out(connector)
    assert server.attempts == 1


async def test_next_caller_takes_connection_of_timed_out_caller(
    connector: SingleFlightConnector, server: FakeServer
) -> None:
    await connect_and_time_out(connector)
    server.accepting.set()
    first, second = await connector.connect(), await connector.connect()
    assert first is not second
    assert server.attempts == 2


async def test_connection_closed_while_unused_is_not_returned(
    connector: SingleFlightConnector, server: FakeServer
) -> None:
    await connect_and_time_out(connector)
    server.accepting.set()
    await wait_for_opening()
    server.restart()
    assert not (await connector.connect()).is_closed()
    assert server.attempts == 2


async def test_connect_failure_starts_backoff(
    connector: SingleFlightConnector, server: FakeServer, clock: FakeClock
) -> None:
    server.unavailable = True
    server.accepting.set()
    with pytest.raises(OSError, match="refused"):
        await connector.connect()
    server.unavailable = False
    with pytest.raises(ConnectionRefusedError, match="backing off"):
        await connector.connect()
    assert server.attempts == 1
    assert metric("esq_circuit_breaker_state", operation="postgres") == 2
    clock.advance(RECONNECT_BACKOFF_SECONDS * 1.5)
    await connector.connect()
    assert server.attempts == 2
    assert metric("esq_circuit_breaker_state", operation="postgres") == 0


async def test_failure_without_waiting_caller_is_not_raised_for_next_caller(
    connector: SingleFlightConnector, server: FakeServer, clock: FakeClock
) -> None:
    server.unavailable = True
    await connect_and_time_out(connector)
    server.accepting.set()
    await wait_for_opening()
    server.unavailable = False
    clock.advance(RECONNECT_BACKOFF_SECONDS * 1.5)
    await connector.connect()
    assert server.attempts == 2


async def test_close_closes_unused_connection(connector: SingleFlightConnector, server: FakeServer) -> None:
    await connect_and_time_out(connector)
    server.accepting.set()
    await wait_for_opening()
    connector.close()
    assert server.opened[0].is_closed()
