"""Connections to Postgres: one at a time, kept for whoever comes next, and not at once again after a failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from services.kit.connector import PAUSE_SECONDS, Connector
from tests.clock import Clock
from tests.metrics import metric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Server:
    """Stands for Postgres: takes connections when it is let, and counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.awake = asyncio.Event()
        self.away = False
        self.made: list[Connection] = []

    def restart(self) -> None:
        for connection in self.made:
            connection.terminate()

    async def connect(self, _url: str, **_: object) -> Connection:
        self.asked += 1
        await self.awake.wait()
        if self.away:
            raise OSError("refused")
        self.made.append(Connection())
        return self.made[-1]


class Connection:
    """One of its connections."""

    def __init__(self) -> None:
        self._closed = False

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        self._closed = True


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    server = Server()
    monkeypatch.setattr(asyncpg, "connect", server.connect)
    yield server
    server.awake.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connector(clock: Clock) -> Connector:
    return Connector("postgres", "postgresql+asyncpg://campaigns:secret@db/esq", {}, clock)


async def give_up(connector: Connector) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connector.connect()


async def opened() -> None:
    """Wait until what is being opened is, or has failed."""
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)


async def test_many_who_give_up_cost_the_server_one_connection(connector: Connector, server: Server) -> None:
    await asyncio.gather(*(give_up(connector) for _ in range(8)))
    await give_up(connector)
    assert server.asked == 1


async def test_what_others_waited_for_is_taken_by_the_next(connector: Connector, server: Server) -> None:
    await give_up(connector)
    server.awake.set()
    first, second = await connector.connect(), await connector.connect()
    assert first is not second
    assert server.asked == 2


async def test_a_connection_that_ended_unused_is_not_handed_out(connector: Connector, server: Server) -> None:
    await give_up(connector)
    server.awake.set()
    await opened()
    server.restart()
    assert not (await connector.connect()).is_closed()
    assert server.asked == 2


async def test_nobody_asks_at_once_again_after_a_failure(
    connector: Connector, server: Server, clock: Clock
) -> None:
    server.away = True
    server.awake.set()
    with pytest.raises(OSError, match="refused"):
        await connector.connect()
    server.away = False
    with pytest.raises(ConnectionRefusedError, match="a moment ago"):
        await connector.connect()
    assert server.asked == 1
    assert metric("esq_breaker_state", operation="postgres") == 2
    clock.pass_by(PAUSE_SECONDS * 1.5)
    await connector.connect()
    assert server.asked == 2
    assert metric("esq_breaker_state", operation="postgres") == 0


async def test_a_failure_nobody_waited_for_is_not_told_to_the_next(
    connector: Connector, server: Server, clock: Clock
) -> None:
    server.away = True
    await give_up(connector)
    server.awake.set()
    await opened()
    server.away = False
    clock.pass_by(PAUSE_SECONDS * 1.5)
    await connector.connect()
    assert server.asked == 2


async def test_closing_ends_what_nobody_took(connector: Connector, server: Server) -> None:
    await give_up(connector)
    server.awake.set()
    await opened()
    connector.close()
    assert server.made[0].is_closed()
