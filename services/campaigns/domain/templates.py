"""Message templates: validation, placeholders and variants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.contracts.validation import MAX_TEXT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.campaigns.domain.model import Campaign, Recipient

MAX_NAME_CHARACTERS = 100
"""Longest name that the contacts service stores: the maximum length of `{name}`."""
NAME_PLACEHOLDER = "name"
"""Placeholder of the contact's name; the variable of this name is used for contacts without a name."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def validate_templates(templates: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return all validation errors of templates and their variables.

    Args:
        templates: the text and its variants.
        variables: values of placeholders.

    Returns:
        The errors: invalid templates, invalid values and unused variables.
    """
    errors = [
        f"{label}{error}"
        for label, template in _labelled(templates)
        for error in _template_errors(template, variables)
    ]
    errors += [f"the variable {name} contains a NUL" for name, value in variables.items() if "\x00" in value]
    used = {name for template in templates for name in _PLACEHOLDER.findall(template)}
    errors += [f"no text uses the variable {name}" for name in sorted(variables.keys() - used)]
    return errors


def _labelled(templates: Sequence[str]) -> list[tuple[str, str]]:
    if len(templates) == 1:
        return [("the text ", templates[0])]
    return [(f"text {number} ", template) for number, template in enumerate(templates, start=1)]


def _template_errors(template: str, variables: Mapping[str, str]) -> list[str]:
    errors = []
    known = sorted(variables.keys() | {NAME_PLACEHOLDER})
    unknown = sorted(set(_PLACEHOLDER.findall(template)) - set(known))
    if unknown:
        names = ", ".join(f"{{{name}}}" for name in known)
        errors.append(f"has unknown placeholders: {', '.join(unknown)}; known: {names}")
    if not template.strip() or "\x00" in template:
        errors.append("is empty or contains a NUL")
    longest_name = max("x" * MAX_NAME_CHARACTERS, variables.get(NAME_PLACEHOLDER, ""), key=len)
    longest = _substitute(template, {**variables, NAME_PLACEHOLDER: longest_name})
    if len(longest) > MAX_TEXT_LENGTH:
        errors.append(f"has more than {MAX_TEXT_LENGTH} characters with the longest name")
    return errors


def render(campaign: Campaign, recipient: Recipient) -> str:
    """Return the text of one recipient: its variant with its name. Braces in a name are kept.

    Args:
        campaign: holds the templates and the variables.
        recipient: selects the variant by its contact id, and has the name.

    Returns:
        The text to send.
    """
    templates = (campaign.text, *campaign.text_variants)
    # A UUIDv7 ends in random bits: variants get equal shares, and a contact always gets the same one.
    template = templates[recipient.contact_id.int % len(templates)]
    name = recipient.name[:MAX_NAME_CHARACTERS] or campaign.variables.get(NAME_PLACEHOLDER, "")
    return _substitute(template, {**campaign.variables, NAME_PLACEHOLDER: name})


def _substitute(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)
