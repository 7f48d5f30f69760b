"""A provider in trouble is spared, and what was not sent for it is not lost."""

from __future__ import annotations

import pytest

from services.kit.breaker import Breaker
from services.kit.ids import uuid7
from services.whatsapp.adapters.fake_engine import FakeEngine
from services.whatsapp.adapters.guarded_engine import GuardedEngine
from services.whatsapp.domain import Accepted, Claim, NotReached, Outcome, Refused, Unknown
from tests.clock import Clock, breakers_follow

OPEN_SECONDS = 0.05


def claim() -> Claim:
    return Claim("acme", uuid7(), "campaign", "123", "main", "+5511999999999", "Hello", 1, 0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(100.0)
    breakers_follow(clock, monkeypatch)
    return clock


def guarded(*outcomes: Outcome) -> tuple[GuardedEngine, FakeEngine, Breaker]:
    engine = FakeEngine(outcomes)
    breaker = Breaker("test.send", failures=3, open_seconds=OPEN_SECONDS)
    return GuardedEngine(engine, breaker), engine, breaker


@pytest.mark.parametrize("trouble", [NotReached("ConnectError"), Unknown("ReadTimeout")])
async def test_after_some_calls_without_an_answer_nothing_is_claimed(trouble: Outcome) -> None:
    engine, inner, breaker = guarded(*[trouble] * 3)
    assert [await engine.send(claim()) for _ in range(3)] == [trouble] * 3
    refused = await engine.send(claim())
    assert isinstance(refused, NotReached), "it was not made, so it may be made again"
    assert inner.sent.total() == 3
    assert breaker.room(32) == 0


async def test_one_call_tries_and_the_rest_follows(clock: Clock) -> None:
    engine, inner, breaker = guarded(*[NotReached("ConnectError")] * 3)
    for _ in range(4):
        await engine.send(claim())
    clock.pass_by(2 * OPEN_SECONDS)
    assert breaker.room(32) == 1
    assert isinstance(await engine.send(claim()), Accepted)
    assert breaker.room(32) == 32
    assert inner.sent.total() == 4


async def test_a_refusal_is_an_answer() -> None:
    """What ails one number or one message says nothing about the provider."""
    engine, _, breaker = guarded(*[Refused(131026, "x")] * 10)
    for _ in range(10):
        await engine.send(claim())
    assert breaker.room(32) == 32
