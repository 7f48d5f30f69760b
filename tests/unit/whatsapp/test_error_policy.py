"""Error policy: a message that may have arrived is never queued again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.whatsapp.domain.error_policy import decide
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import (
    Accepted,
    AttemptDecision,
    NotSent,
    Rejected,
    SendOutcome,
    Unknown,
)

MAX_ATTEMPTS = 5


def decision(outcome: SendOutcome, attempts: int = 0) -> AttemptDecision:
    return decide(outcome, attempts, MAX_ATTEMPTS, Random(1))


def test_accepted_stores_provider_id() -> None:
    update = decision(Accepted("wamid.1")).update
    assert (update.state, update.provider_id) == (MessageState.ACCEPTED, "wamid.1")


@given(st.integers(min_value=0, max_value=1000))
def test_unknown_outcome_is_uncertain_after_any_number_of_attempts(attempts: int) -> None:
    assert decision(Unknown("ReadTimeout"), attempts).update.state is MessageState.UNCERTAIN


@pytest.mark.parametrize("attempts", [0, MAX_ATTEMPTS, 100])
def test_unsent_message_is_retried_without_limit(attempts: int) -> None:
    update = decision(NotSent("ConnectError"), attempts).update
    assert update.state is MessageState.QUEUED
    assert 0 < update.delay_seconds <= 375


@pytest.mark.parametrize("code", [1, 2, 131000, 131016, 135000, 131056, 130429])
def test_transient_error_is_retried_until_attempts_are_exhausted(code: int) -> None:
    assert decision(Rejected(code, "x"), MAX_ATTEMPTS - 2).update.state is MessageState.QUEUED
    assert decision(Rejected(code, "x"), MAX_ATTEMPTS - 1).update.state is MessageState.FAILED


@pytest.mark.parametrize("code", [100, 33, 131008, 131009, 131026, 131047, 131049, 132001, 424242])
def test_other_errors_fail_the_message_with_their_code(code: int) -> None:
    update = decision(Rejected(code, "why")).update
    assert (update.state, update.code, update.reason) == (MessageState.FAILED, code, "why")


@pytest.mark.parametrize("code", [0, 190, 200, 299, 131005, 4, 80007, 131031, 131048, 131057])
def test_credential_account_and_number_errors_suspend_the_connection_and_use_no_attempt(code: int) -> None:
    suspended = decision(Rejected(code, "x"), attempts=1000)
    assert suspended.update.state is MessageState.QUEUED
    assert suspended.suspend_seconds > 0


def test_rate_limit_error_throttles_without_suspension() -> None:
    throttled = decision(Rejected(130429, "x"))
    assert (throttled.throttle, throttled.suspend_seconds) == (True, 0)


def test_pair_rate_limit_backoff_grows_by_factor_four() -> None:
    delays = [decision(Rejected(131056, "x"), attempt).update.delay_seconds for attempt in range(4)]
    for delay, median in zip(delays, (1, 4, 16, 64), strict=True):
        assert median * 0.75 <= delay <= median * 1.25
