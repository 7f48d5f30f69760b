"""Message templates: validation and rendering."""

from __future__ import annotations

from collections import Counter

import pytest

from services.campaigns.domain.model import Campaign, Recipient
from services.campaigns.domain.templates import render, validate_templates
from services.kit.ids import uuid7


def campaign(text: str, *variants: str, **variables: str) -> Campaign:
    return Campaign(
        "acme", uuid7(), "n", "friends", text, "main", text_variants=variants, variables=variables
    )


def recipient(name: str = "Ana") -> Recipient:
    return Recipient(uuid7(), uuid7(), "+5511999999999", name)


@pytest.mark.parametrize("text", ["", "  ", "Hi {nome}", "Hi {}", "Hi {name.__class__}", "x" * 4097, "\x00"])
def test_invalid_template_has_one_error(text: str) -> None:
    assert len(validate_templates([text], {})) == 1


def test_length_limit_includes_longest_name_and_variables() -> None:
    assert validate_templates(["x" * 3996 + "{name}"], {}) == []
    assert validate_templates(["x" * 3997 + "{name}"], {})
    assert validate_templates(["x" * 3997 + "{shop}"], {"shop": "y" * 100})


def test_all_errors_are_returned_with_their_template() -> None:
    assert validate_templates(["Oi {nome}", ""], {"shop": "Acme"}) == [
        "text 1 has unknown placeholders: nome; known: {name}, {shop}",
        "text 2 is empty or contains a NUL",
        "no text uses the variable shop",
    ]


def test_variable_with_nul_is_invalid() -> None:
    assert validate_templates(["{shop}"], {"shop": "\x00"}) == ["the variable shop contains a NUL"]


def test_braces_in_values_are_not_placeholders() -> None:
    assert render(campaign("Oi {name}, {name}!"), recipient("{name}")) == "Oi {name}, {name}!"
    assert render(campaign("Oi {name}!"), recipient()) == "Oi Ana!"
    assert render(campaign("Oi {name} of {shop}!", shop="{name}"), recipient()) == "Oi Ana of {name}!"


def test_name_variable_is_the_fallback_for_missing_names() -> None:
    assert render(campaign("Oi {name}!", name="friend"), recipient("")) == "Oi friend!"
    assert render(campaign("Oi {name}!"), recipient("")) == "Oi !"


def test_variants_have_similar_shares_and_are_stable_per_contact() -> None:
    variants, recipients = campaign("a", "b", "c"), [recipient() for _ in range(900)]
    shares = Counter(render(variants, contact) for contact in recipients)
    assert set(shares) == {"a", "b", "c"}
    assert min(shares.values()) > 200
    assert all(render(variants, contact) == render(variants, contact) for contact in recipients)
