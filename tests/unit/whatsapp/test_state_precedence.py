"""State precedence: any order of status updates ends in the same state."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.ids import uuid7
from services.whatsapp.domain.message_states import DeliveryState, DeliveryStatus, MessageState, merge_states

AT = datetime(2026, 11, 24, tzinfo=UTC)


def delivery_state(state: MessageState) -> DeliveryState:
    return DeliveryState("acme", uuid7(), "campaign", state, None, None, {})


@pytest.mark.parametrize(
    ("current", "reported", "after"),
    [
        (MessageState.ACCEPTED, DeliveryStatus.SENT, MessageState.SENT),
        (MessageState.UNCERTAIN, DeliveryStatus.SENT, MessageState.SENT),
        (MessageState.UNCERTAIN, DeliveryStatus.FAILED, MessageState.FAILED),
        (MessageState.LEASED, DeliveryStatus.SENT, MessageState.SENT),
        (MessageState.QUEUED, DeliveryStatus.DELIVERED, MessageState.DELIVERED),
        (MessageState.READ, DeliveryStatus.DELIVERED, MessageState.READ),
        (MessageState.SENT, DeliveryStatus.FAILED, MessageState.FAILED),
        (MessageState.FAILED, DeliveryStatus.SENT, MessageState.FAILED),
        (MessageState.FAILED, DeliveryStatus.DELIVERED, MessageState.DELIVERED),
        (MessageState.DELIVERED, DeliveryStatus.FAILED, MessageState.DELIVERED),
        (MessageState.SENT, DeliveryStatus.READ, MessageState.READ),
    ],
)
def test_status_update_raises_state_and_never_lowers_it(
    current: MessageState, reported: DeliveryStatus, after: MessageState
) -> None:
    assert merge_states(current, reported) is after


@given(st.lists(st.sampled_from(DeliveryStatus), max_size=6))
def test_order_of_status_updates_makes_no_difference(statuses: list[DeliveryStatus]) -> None:
    ends = {reduce(merge_states, order, MessageState.ACCEPTED) for order in set(permutations(statuses))}
    assert len(ends) == 1


def test_repeated_status_changes_nothing() -> None:
    once = delivery_state(MessageState.ACCEPTED).apply_status(DeliveryStatus.SENT, AT, "wamid.1", None)
    assert once.apply_status(DeliveryStatus.SENT, datetime.now(UTC), "wamid.1", None) is once


def test_status_sets_provider_id_of_uncertain_message() -> None:
    after = delivery_state(MessageState.UNCERTAIN).apply_status(DeliveryStatus.SENT, AT, "wamid.1", None)
    assert (after.state, after.provider_id) == (MessageState.SENT, "wamid.1")
    assert after.status_times[DeliveryStatus.SENT] == AT


def test_failure_after_delivery_does_not_set_code() -> None:
    accepted = delivery_state(MessageState.ACCEPTED)
    delivered = accepted.apply_status(DeliveryStatus.DELIVERED, AT, "wamid.1", None)
    late = delivered.apply_status(DeliveryStatus.FAILED, AT, "wamid.1", 131026)
    assert (late.state, late.code) == (MessageState.DELIVERED, None)
    assert DeliveryStatus.FAILED in late.status_times
