"""Token bucket of a connection, and fair allocation of a lease."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.domain.rate_limit import BURST_SECONDS, TokenBucket, allocate_fairly

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def bucket(
    *, rate: float = 80, throttle_factor: float = 1, tokens: float = 0, suspended: float | None = None
) -> TokenBucket:
    suspended_until = None if suspended is None else after(suspended)
    return TokenBucket(rate, throttle_factor, tokens, NOW, suspended_until)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(st.lists(st.floats(min_value=0.001, max_value=0.5), min_size=20, max_size=60))
def test_long_term_rate_is_bounded_by_rate_and_one_burst(pauses: list[float]) -> None:
    current, clock, sent = bucket(), 0.0, 0
    for pause in pauses:
        clock += pause
        current = current.refill(after(clock))
        allowed = current.available(after(clock))
        sent += allowed
        current = current.consume(allowed)
    assert sent <= 80 * clock + 80 * BURST_SECONDS


def test_idle_bucket_holds_one_burst() -> None:
    assert bucket().refill(after(3600)).available(after(3600)) == int(80 * BURST_SECONDS)


def test_rate_below_one_per_second_sends() -> None:
    slow = bucket(rate=0.5)
    assert slow.refill(after(1)).available(after(1)) == 0
    assert slow.refill(after(2)).available(after(2)) == 1


def test_throttled_bucket_fills_slower_and_recovers_within_a_minute() -> None:
    throttled = bucket(rate=10, throttle_factor=0.5).refill(after(0.2))
    assert throttled.tokens == pytest.approx(1.0)
    assert bucket(throttle_factor=0.05).refill(after(60)).throttle_factor == 1.0


def test_suspended_bucket_has_nothing_available_until_its_end() -> None:
    suspended = bucket(tokens=10, suspended=5)
    assert suspended.available(after(4.9)) == 0
    assert suspended.available(after(5)) == 10


def test_clock_going_backwards_adds_no_tokens() -> None:
    assert bucket(tokens=3).refill(after(-10)).tokens == 3


@given(st.lists(st.integers(min_value=0, max_value=50), max_size=8), st.integers(min_value=0, max_value=100))
def test_shares_use_everything_allowed_and_no_more(limits: list[int], total: int) -> None:
    shares = allocate_fairly(limits, total)
    assert sum(shares) == min(sum(limits), total)
    assert all(0 <= share <= limit for share, limit in zip(shares, limits, strict=True))


def test_shares_are_even_where_limits_permit() -> None:
    assert allocate_fairly([100, 100, 2], 32) == [15, 15, 2]
