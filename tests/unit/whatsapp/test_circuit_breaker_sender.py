"""Circuit breaker of the sender: a failing provider is not called, and no message is lost."""

from __future__ import annotations

import pytest

from services.kit.circuit_breaker import CircuitBreaker
from services.kit.ids import uuid7
from services.whatsapp.adapters.circuit_breaker_sender import CircuitBreakerSender
from services.whatsapp.domain.sending import Accepted, LeasedMessage, NotSent, Rejected, SendOutcome, Unknown
from services.whatsapp.fakes import FakeMessageSender
from tests.clock import FakeClock, use_clock_for_breakers

OPEN_SECONDS = 0.05


def leased_message() -> LeasedMessage:
    return LeasedMessage("acme", uuid7(), "campaign", "123", "main", "+5511999999999", "Hello", 1, 0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(100.0)
    use_clock_for_breakers(clock, monkeypatch)
    return clock


def sender_with_breaker(
    *outcomes: SendOutcome,
) -> tuple[CircuitBreakerSender, FakeMessageSender, CircuitBreaker]:
    inner = FakeMessageSender(outcomes)
    breaker = CircuitBreaker("test.send", failure_threshold=3, open_seconds=OPEN_SECONDS)
    return CircuitBreakerSender(inner, breaker), inner, breaker


@pytest.mark.parametrize("failure", [NotSent("ConnectError"), Unknown("ReadTimeout")])
async def test_calls_without_response_open_the_breaker(failure: SendOutcome) -> None:
    sender, inner, breaker = sender_with_breaker(*[failure] * 3)
    assert [await sender.send(leased_message()) for _ in range(3)] == [failure] * 3
    rejected = await sender.send(leased_message())
    assert isinstance(rejected, NotSent), "the call was not made, so it may be repeated"
    assert inner.send_counts.total() == 3
    assert breaker.permits(32) == 0


async def test_half_open_breaker_permits_one_call_and_closes_on_success(clock: FakeClock) -> None:
    sender, inner, breaker = sender_with_breaker(*[NotSent("ConnectError")] * 3)
    for _ in range(4):
        await sender.send(leased_message())
    clock.advance(2 * OPEN_SECONDS)
    assert breaker.permits(32) == 1
    assert isinstance(await sender.send(leased_message()), Accepted)
    assert breaker.permits(32) == 32
    assert inner.send_counts.total() == 4


async def test_rejection_counts_as_response() -> None:
    """An error of one number or one message says nothing about the provider."""
    sender, _, breaker = sender_with_breaker(*[Rejected(131026, "x")] * 10)
    for _ in range(10):
        await sender.send(leased_message())
    assert breaker.permits(32) == 32
