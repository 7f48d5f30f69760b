"""The dispatcher's loops, with claims in memory and a fake engine."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from pydantic import SecretStr

from services.kit.errors import TemporaryError
from services.kit.ids import uuid7
from services.whatsapp.adapters.fake_engine import FakeEngine
from services.whatsapp.adapters.fake_turns import FakeTurns
from services.whatsapp.dispatcher import Dispatcher
from services.whatsapp.domain import (
    Accepted,
    Claim,
    Claimed,
    NotReached,
    Outcome,
    Refused,
    State,
    Turn,
    Unknown,
)
from services.whatsapp.settings import DispatcherSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.whatsapp.domain import Result
    from services.whatsapp.ports import Engine


def settings(concurrency: int = 4, batch: int = 4) -> DispatcherSettings:
    return DispatcherSettings(
        database_url=SecretStr("postgresql+asyncpg://x@localhost/x"),
        cloud_api_url="http://localhost",  # type: ignore[arg-type] # pydantic makes it a URL
        cloud_api_token=SecretStr("x"),
        redis_server="127.0.0.1:9",
        concurrency=concurrency,
        batch=batch,
    )


def claim() -> Claim:
    return Claim("acme", uuid7(), "campaign", "123", "main", "+5511999999999", "Hello", 1, 0)


class MemoryClaims:
    """Claims in memory: hands out each once and remembers what was settled."""

    def __init__(self, count: int) -> None:
        self.waiting = deque(claim() for _ in range(count))
        self.results: list[Result] = []
        self.away = 0
        self.largest = 0
        self.done = asyncio.Event()
        self._count = count

    async def claim(self, turns: Sequence[Turn], most: int) -> Claimed:
        self.largest = max(self.largest, most)
        claims = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        return Claimed(claims, [(turn, 0.0) for turn in turns if self.waiting])

    async def settle(self, results: Sequence[Result]) -> int:
        if self.away:
            self.away -= 1
            raise TemporaryError("the database is not available")
        self.results += results
        if len(self.results) >= self._count:
            self.done.set()
        return len(results)


class SlowEngine(FakeEngine):
    """Counts how many calls are under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.most = 0

    async def send(self, claim: Claim) -> Outcome:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return await super().send(claim)


class BrokenEngine:
    """Raises, which engines must not."""

    async def send(self, claim: Claim) -> Outcome:
        raise RuntimeError(str(claim.epoch))


@asynccontextmanager
async def running(claims: MemoryClaims, engine: Engine, **limits: int) -> AsyncIterator[asyncio.Event]:
    """Both loops, until the block ends."""
    stop = asyncio.Event()
    turns = FakeTurns()
    await turns.give([(Turn("acme", "main"), 0.0)])
    dispatcher = Dispatcher(claims, turns, engine, settings(**limits), Random(1), room=lambda wanted: wanted)
    loops = [asyncio.create_task(loop(stop)) for loop in (dispatcher.run, dispatcher.settle)]
    try:
        async with asyncio.timeout(20):
            yield stop
    finally:
        stop.set()
        await asyncio.gather(*loops)


async def test_every_message_is_sent_once_and_settled() -> None:
    claims, engine = MemoryClaims(50), FakeEngine()
    async with running(claims, engine):
        await claims.done.wait()
    assert len(engine.sent) == 50
    assert set(engine.sent.values()) == {1}
    assert {result.decision.verdict.state for result in claims.results} == {State.ACCEPTED}


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    claims, engine = MemoryClaims(60), SlowEngine()
    async with running(claims, engine, concurrency=5, batch=3):
        await claims.done.wait()
    assert engine.most <= 5
    assert claims.largest <= 3


async def test_outcomes_become_verdicts() -> None:
    claims = MemoryClaims(4)
    outcomes = [Accepted("wamid.1"), Unknown("ReadTimeout"), Refused(131026, "x"), NotReached("ConnectError")]
    async with running(claims, FakeEngine(outcomes)):
        await claims.done.wait()
    states = [result.decision.verdict.state for result in claims.results]
    assert states == [State.ACCEPTED, State.UNCERTAIN, State.FAILED, State.QUEUED]


async def test_results_wait_for_the_store_and_are_not_lost() -> None:
    claims = MemoryClaims(4)
    claims.away = 2
    async with running(claims, FakeEngine()):
        await claims.done.wait()
    assert len(claims.results) == 4


async def test_an_engine_that_breaks_leaves_the_message_uncertain() -> None:
    claims = MemoryClaims(1)
    async with running(claims, BrokenEngine()):
        await claims.done.wait()
    assert claims.results[0].decision.verdict.state is State.UNCERTAIN


async def test_calls_under_way_are_settled_before_the_end() -> None:
    claims, engine = MemoryClaims(4), SlowEngine()
    async with running(claims, engine) as stop:
        while not engine.now:
            await asyncio.sleep(0)
        stop.set()
    assert len(claims.results) == 4


async def test_a_number_in_trouble_is_told_of_in_the_log(caplog: object) -> None:
    claims = MemoryClaims(1)
    async with running(claims, FakeEngine([Refused(190, "token expired")])):
        await claims.done.wait()
    assert claims.results[0].decision.hold > 0
    assert "held" in caplog.text  # type: ignore[attr-defined] # pytest's fixture
