"""Texts: all that keeps them from being sent, and what each contact gets."""

from __future__ import annotations

from collections import Counter

import pytest

from services.campaigns.domain import Campaign, Recipient
from services.campaigns.texts import problems, text_for
from services.kit.ids import uuid7


def campaign(text: str, *more: str, **variables: str) -> Campaign:
    return Campaign("acme", uuid7(), "n", "friends", text, "main", more_texts=more, variables=variables)


def somebody(name: str = "Ana") -> Recipient:
    return Recipient(uuid7(), uuid7(), "+5511999999999", name)


@pytest.mark.parametrize("text", ["", "  ", "Hi {nome}", "Hi {}", "Hi {name.__class__}", "x" * 4097, "\x00"])
def test_texts_that_cannot_be_sent_are_refused(text: str) -> None:
    assert len(problems([text], {})) == 1


def test_a_text_must_fit_with_the_longest_name_and_its_variables() -> None:
    assert problems(["x" * 3996 + "{name}"], {}) == []
    assert problems(["x" * 3997 + "{name}"], {})
    assert problems(["x" * 3997 + "{shop}"], {"shop": "y" * 100})


def test_all_problems_come_at_once_each_with_its_place() -> None:
    assert problems(["Oi {nome}", ""], {"shop": "Acme"}) == [
        "text 1 has unknown placeholders: nome; known is {name}, {shop}",
        "text 2 is empty or no text",
        "no text asks for the variable shop",
    ]


def test_the_database_takes_no_nul() -> None:
    assert problems(["{shop}"], {"shop": "\x00"}) == ["the variable shop is no text"]


def test_names_are_put_in_and_not_read_as_placeholders() -> None:
    assert text_for(campaign("Oi {name}, {name}!"), somebody("{name}")) == "Oi {name}, {name}!"
    assert text_for(campaign("Oi {name}!"), somebody()) == "Oi Ana!"
    assert text_for(campaign("Oi {name} of {shop}!", shop="{name}"), somebody()) == "Oi Ana of {name}!"


def test_who_has_no_name_is_called_as_was_wished() -> None:
    assert text_for(campaign("Oi {name}!", name="friend"), somebody("")) == "Oi friend!"
    assert text_for(campaign("Oi {name}!"), somebody("")) == "Oi !"


def test_variations_have_about_equal_shares_and_a_contact_keeps_its_own() -> None:
    made, people = campaign("a", "b", "c"), [somebody() for _ in range(900)]
    shares = Counter(text_for(made, one) for one in people)
    assert set(shares) == {"a", "b", "c"}
    assert min(shares.values()) > 200
    assert all(text_for(made, one) == text_for(made, one) for one in people)
