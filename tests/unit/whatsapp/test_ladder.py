"""The ladder: any order of reports ends in the same state."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.ids import uuid7
from services.whatsapp.domain import Standing, State, Status, merge

AT = datetime(2026, 11, 24, tzinfo=UTC)


def standing(state: State) -> Standing:
    return Standing("acme", uuid7(), "campaign", state, None, None, {})


@pytest.mark.parametrize(
    ("current", "reported", "after"),
    [
        (State.ACCEPTED, Status.SENT, State.SENT),
        (State.UNCERTAIN, Status.SENT, State.SENT),
        (State.UNCERTAIN, Status.FAILED, State.FAILED),
        (State.CLAIMED, Status.SENT, State.SENT),
        (State.QUEUED, Status.DELIVERED, State.DELIVERED),
        (State.READ, Status.DELIVERED, State.READ),
        (State.SENT, Status.FAILED, State.FAILED),
        (State.FAILED, Status.SENT, State.FAILED),
        (State.FAILED, Status.DELIVERED, State.DELIVERED),
        (State.DELIVERED, Status.FAILED, State.DELIVERED),
        (State.SENT, Status.READ, State.READ),
    ],
)
def test_a_report_moves_a_message_up_and_never_down(current: State, reported: Status, after: State) -> None:
    assert merge(current, reported) is after


@given(st.lists(st.sampled_from(Status), max_size=6))
def test_the_order_of_reports_makes_no_difference(reports: list[Status]) -> None:
    ends = {reduce(merge, order, State.ACCEPTED) for order in set(permutations(reports))}
    assert len(ends) == 1


def test_a_report_that_was_there_before_changes_nothing() -> None:
    once = standing(State.ACCEPTED).after(Status.SENT, AT, "wamid.1", None)
    assert once.after(Status.SENT, datetime.now(UTC), "wamid.1", None) is once


def test_a_report_teaches_the_provider_id_of_an_uncertain_message() -> None:
    after = standing(State.UNCERTAIN).after(Status.SENT, AT, "wamid.1", None)
    assert (after.state, after.provider_id, after.times[Status.SENT]) == (State.SENT, "wamid.1", AT)


def test_a_failure_that_lost_against_a_delivery_leaves_its_code_out() -> None:
    delivered = standing(State.ACCEPTED).after(Status.DELIVERED, AT, "wamid.1", None)
    late = delivered.after(Status.FAILED, AT, "wamid.1", 131026)
    assert (late.state, late.code) == (State.DELIVERED, None)
    assert Status.FAILED in late.times
