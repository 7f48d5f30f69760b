"""The bucket of a number and the shares of a claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.pace import BURST_SECONDS, Bucket, shares

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def bucket(*, rate: float = 80, pace: float = 1, tokens: float = 0, held: float | None = None) -> Bucket:
    return Bucket(rate, pace, tokens, NOW, NOW + timedelta(seconds=held) if held is not None else None)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(st.lists(st.floats(min_value=0.001, max_value=0.5), min_size=20, max_size=60))
def test_over_time_no_more_is_sent_than_the_rate_and_one_burst(pauses: list[float]) -> None:
    current, clock, sent = bucket(), 0.0, 0
    for pause in pauses:
        clock += pause
        current = current.refilled(after(clock))
        allowed = current.allowance(after(clock))
        sent += allowed
        current = current.without(allowed)
    assert sent <= 80 * clock + 80 * BURST_SECONDS


def test_a_bucket_that_rested_holds_one_burst() -> None:
    assert bucket().refilled(after(3600)).allowance(after(3600)) == int(80 * BURST_SECONDS)


def test_a_slow_number_still_sends() -> None:
    slow = bucket(rate=0.5)
    assert slow.refilled(after(1)).allowance(after(1)) == 0
    assert slow.refilled(after(2)).allowance(after(2)) == 1


def test_half_the_pace_fills_half_as_fast_and_recovers_in_a_minute() -> None:
    slowed = bucket(rate=10, pace=0.5).refilled(after(0.2))
    assert slowed.tokens == pytest.approx(1.0)
    assert bucket(pace=0.05).refilled(after(60)).pace == 1.0


def test_a_held_number_sends_nothing_until_its_time() -> None:
    held = bucket(tokens=10, held=5)
    assert held.allowance(after(4.9)) == 0
    assert held.allowance(after(5)) == 10


def test_a_clock_that_goes_back_adds_nothing() -> None:
    assert bucket(tokens=3).refilled(after(-10)).tokens == 3


@given(st.lists(st.integers(min_value=0, max_value=50), max_size=8), st.integers(min_value=0, max_value=100))
def test_shares_use_all_that_is_allowed_and_no_more(allowances: list[int], most: int) -> None:
    given_ = shares(allowances, most)
    assert sum(given_) == min(sum(allowances), most)
    assert all(0 <= part <= allowance for part, allowance in zip(given_, allowances, strict=True))


def test_shares_are_even_where_they_can_be() -> None:
    assert shares([100, 100, 2], 32) == [15, 15, 2]
