"""The texts of a campaign: variations, what placeholders stand for, and that all of it can be sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.contracts.limits import TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.campaigns.domain import Campaign, Recipient

NAME_CHARACTERS = 100
"""Longest name that contacts keep: what `{name}` may grow to."""
NAME = "name"
"""The placeholder of the contact's own name; as a variable it is for contacts that have none."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def problems(texts: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return all that keeps texts from being sent, and variables that no text asks for."""
    found = [f"{where}{problem}" for where, text in _places(texts) for problem in _of_text(text, variables)]
    found += [f"the variable {name} is no text" for name, value in variables.items() if "\x00" in value]
    used = {name for text in texts for name in _PLACEHOLDER.findall(text)}
    found += [f"no text asks for the variable {name}" for name in sorted(variables.keys() - used)]
    return found


def _places(texts: Sequence[str]) -> list[tuple[str, str]]:
    if len(texts) == 1:
        return [("the text ", texts[0])]
    return [(f"text {place} ", text) for place, text in enumerate(texts, start=1)]


def _of_text(text: str, variables: Mapping[str, str]) -> list[str]:
    found = []
    known = sorted(variables.keys() | {NAME})
    unknown = sorted(set(_PLACEHOLDER.findall(text)) - set(known))
    if unknown:
        names = ", ".join(f"{{{name}}}" for name in known)
        found.append(f"has unknown placeholders: {', '.join(unknown)}; known is {names}")
    if not text.strip() or "\x00" in text:
        found.append("is empty or no text")
    longest = {**variables, NAME: max("x" * NAME_CHARACTERS, variables.get(NAME, ""), key=len)}
    if len(_filled(text, longest)) > TEXT_CHARACTERS:
        found.append(f"has more than {TEXT_CHARACTERS} characters with the longest name")
    return found


def text_for(campaign: Campaign, recipient: Recipient) -> str:
    """Return the text for one recipient: its variation, with its name. Braces in a name stay as they are."""
    texts = (campaign.text, *campaign.more_texts)
    # A UUIDv7 ends in random bits, so that variations get equal shares, and a contact the same one for ever.
    text = texts[recipient.contact_id.int % len(texts)]
    name = recipient.name[:NAME_CHARACTERS] or campaign.variables.get(NAME, "")
    return _filled(text, {**campaign.variables, NAME: name})


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
