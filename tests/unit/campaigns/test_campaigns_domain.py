"""State precedence of messages, independent of the order of status updates."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.domain.model import (
    CampaignKey,
    MessageKey,
    MessageState,
    StateTransition,
    count_deltas,
    highest_states,
    transitions,
)

if TYPE_CHECKING:
    from random import Random

CAMPAIGNS = [CampaignKey(company, UUID(int=number)) for company in ("acme", "other") for number in (1, 2)]
MESSAGES = [MessageKey(campaign, UUID(int=number)) for campaign in CAMPAIGNS for number in range(1, 4)]
update_batches = st.lists(st.tuples(st.sampled_from(MESSAGES), st.sampled_from(MessageState)), max_size=30)


def advance(
    current: dict[MessageKey, MessageState], batch: list[tuple[MessageKey, MessageState]]
) -> dict[MessageKey, MessageState]:
    advanced = transitions(current, highest_states(batch))
    return current | {transition.message: transition.after for transition in advanced}


@given(update_batches, st.randoms(use_true_random=False))
def test_order_and_repetition_of_updates_do_not_matter(
    batch: list[tuple[MessageKey, MessageState]], random: Random
) -> None:
    initial = dict.fromkeys(MESSAGES, MessageState.QUEUED)
    shuffled = [*batch, *batch]
    random.shuffle(shuffled)
    current = initial
    for update in shuffled:
        current = advance(current, [update])
    assert current == advance(initial, batch)


@given(update_batches, update_batches)
def test_count_deltas_match_message_states(
    first: list[tuple[MessageKey, MessageState]], second: list[tuple[MessageKey, MessageState]]
) -> None:
    current = dict.fromkeys(MESSAGES, MessageState.QUEUED)
    counts = {campaign: Counter({MessageState.QUEUED: 3}) for campaign in CAMPAIGNS}
    for batch in (first, second):
        for campaign, deltas in count_deltas(transitions(current, highest_states(batch))).items():
            counts[campaign].update(deltas)
        current = advance(current, batch)
    for campaign in CAMPAIGNS:
        assert +counts[campaign] == Counter(
            state for message, state in current.items() if message.campaign == campaign
        )


@pytest.mark.parametrize(
    ("before", "after", "advances"),
    [
        (MessageState.QUEUED, MessageState.ACCEPTED, True),
        (MessageState.UNCERTAIN, MessageState.ACCEPTED, True),
        (MessageState.UNCERTAIN, MessageState.FAILED, True),
        (MessageState.ACCEPTED, MessageState.UNCERTAIN, False),
        (MessageState.SENT, MessageState.FAILED, True),
        (MessageState.DELIVERED, MessageState.FAILED, False),
        (MessageState.FAILED, MessageState.DELIVERED, True),
        (MessageState.READ, MessageState.DELIVERED, False),
        (MessageState.SENT, MessageState.SENT, False),
    ],
)
def test_state_precedence(*, before: MessageState, after: MessageState, advances: bool) -> None:
    message = MESSAGES[0]
    expected = [StateTransition(message, before, after)] if advances else []
    assert transitions({message: before}, {message: after}) == expected


def test_updates_of_unknown_messages_are_ignored() -> None:
    assert transitions({}, {MESSAGES[0]: MessageState.SENT}) == []


def test_stored_state_numbers_do_not_change() -> None:
    assert {state.label: int(state) for state in MessageState} == {
        "pending": -10, "queued": 0, "uncertain": 10, "expired": 20, "cancelled": 25, "accepted": 30,
        "sent": 40, "failed": 50, "delivered": 60, "read": 70,
    }  # fmt: skip
