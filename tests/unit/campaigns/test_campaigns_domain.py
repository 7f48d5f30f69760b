"""The ladder, whatever the order of the news."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.domain import (
    CampaignKey,
    MessageKey,
    Move,
    State,
    differences,
    highest,
    moves,
)

if TYPE_CHECKING:
    from random import Random

CAMPAIGNS = [CampaignKey(company, UUID(int=number)) for company in ("acme", "other") for number in (1, 2)]
MESSAGES = [MessageKey(campaign, UUID(int=number)) for campaign in CAMPAIGNS for number in range(1, 4)]
news = st.lists(st.tuples(st.sampled_from(MESSAGES), st.sampled_from(State)), max_size=30)


def climb(held: dict[MessageKey, State], batch: list[tuple[MessageKey, State]]) -> dict[MessageKey, State]:
    return held | {move.message: move.after for move in moves(held, highest(batch))}


@given(news, st.randoms(use_true_random=False))
def test_order_and_repetition_of_news_do_not_matter(
    batch: list[tuple[MessageKey, State]], random: Random
) -> None:
    start = dict.fromkeys(MESSAGES, State.QUEUED)
    shuffled = [*batch, *batch]
    random.shuffle(shuffled)
    one_by_one = start
    for piece in shuffled:
        one_by_one = climb(one_by_one, [piece])
    assert one_by_one == climb(start, batch)


@given(news, news)
def test_counts_follow_the_messages(
    first: list[tuple[MessageKey, State]], second: list[tuple[MessageKey, State]]
) -> None:
    held = dict.fromkeys(MESSAGES, State.QUEUED)
    counts = {campaign: Counter({State.QUEUED: 3}) for campaign in CAMPAIGNS}
    for batch in (first, second):
        for campaign, changes in differences(moves(held, highest(batch))).items():
            counts[campaign].update(changes)
        held = climb(held, batch)
    for campaign in CAMPAIGNS:
        assert +counts[campaign] == Counter(
            state for message, state in held.items() if message.campaign == campaign
        )


@pytest.mark.parametrize(
    ("before", "after", "climbs"),
    [
        (State.QUEUED, State.ACCEPTED, True),
        (State.UNCERTAIN, State.ACCEPTED, True),
        (State.UNCERTAIN, State.FAILED, True),
        (State.ACCEPTED, State.UNCERTAIN, False),
        (State.SENT, State.FAILED, True),
        (State.DELIVERED, State.FAILED, False),
        (State.FAILED, State.DELIVERED, True),
        (State.READ, State.DELIVERED, False),
        (State.SENT, State.SENT, False),
    ],
)
def test_steps_of_the_ladder(before: State, after: State, climbs: bool) -> None:  # noqa: FBT001 - a table's column
    message = MESSAGES[0]
    expected = [Move(message, before, after)] if climbs else []
    assert moves({message: before}, {message: after}) == expected


def test_news_of_unknown_messages_move_nothing() -> None:
    assert moves({}, {MESSAGES[0]: State.SENT}) == []


def test_stored_numbers_never_change() -> None:
    assert {state.label: int(state) for state in State} == {
        "pending": -10, "queued": 0, "uncertain": 10, "expired": 20, "cancelled": 25, "accepted": 30,
        "sent": 40, "failed": 50, "delivered": 60, "read": 70,
    }  # fmt: skip
