"""What an outcome leads to. Nothing that may have arrived is ever queued again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.domain import Accepted, Decision, NotReached, Outcome, Refused, State, Unknown
from services.whatsapp.outcomes import decide

MOST = 5


def decision(outcome: Outcome, attempts: int = 0) -> Decision:
    return decide(outcome, attempts, MOST, Random(1))


def test_acceptance_keeps_the_providers_id() -> None:
    verdict = decision(Accepted("wamid.1")).verdict
    assert (verdict.state, verdict.provider_id) == (State.ACCEPTED, "wamid.1")


@given(st.integers(min_value=0, max_value=1000))
def test_what_may_have_arrived_is_uncertain_however_often_it_was_tried(attempts: int) -> None:
    assert decision(Unknown("ReadTimeout"), attempts).verdict.state is State.UNCERTAIN


@pytest.mark.parametrize("attempts", [0, MOST, 100])
def test_what_never_arrived_is_tried_again_without_end(attempts: int) -> None:
    verdict = decision(NotReached("ConnectError"), attempts).verdict
    assert verdict.state is State.QUEUED
    assert 0 < verdict.delay <= 375


@pytest.mark.parametrize("code", [1, 2, 131000, 131016, 135000, 131056, 130429])
def test_a_passing_refusal_is_tried_again_until_the_attempts_are_spent(code: int) -> None:
    assert decision(Refused(code, "x"), MOST - 2).verdict.state is State.QUEUED
    assert decision(Refused(code, "x"), MOST - 1).verdict.state is State.FAILED


@pytest.mark.parametrize("code", [100, 33, 131008, 131009, 131026, 131047, 131049, 132001, 424242])
def test_any_other_refusal_fails_the_message_with_its_code(code: int) -> None:
    verdict = decision(Refused(code, "why")).verdict
    assert (verdict.state, verdict.code, verdict.reason) == (State.FAILED, code, "why")


@pytest.mark.parametrize("code", [0, 190, 200, 299, 131005, 4, 80007, 131031, 131048, 131057])
def test_trouble_of_token_account_or_number_holds_the_number_and_spends_no_message(code: int) -> None:
    held = decision(Refused(code, "x"), attempts=1000)
    assert held.verdict.state is State.QUEUED
    assert held.hold > 0


def test_a_throttled_number_is_slowed_and_not_held() -> None:
    throttled = decision(Refused(130429, "x"))
    assert (throttled.slow, throttled.hold) == (True, 0)


def test_pair_rate_waits_grow_by_four() -> None:
    delays = [decision(Refused(131056, "x"), attempt).verdict.delay for attempt in range(4)]
    for delay, middle in zip(delays, (1, 4, 16, 64), strict=True):
        assert middle * 0.75 <= delay <= middle * 1.25
