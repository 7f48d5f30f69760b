"""Contacts and lists. A contact has a phone number in E.164, unique per company, and a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import phonenumbers

from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from uuid import UUID

MAX_NAME_CHARACTERS = 100
"""Longer names are truncated."""
LIST_NAME = re.compile(r"\w[\w .@-]{0,99}")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


class InvalidPhoneNumberError(ValueError):
    """The text is not a phone number; the message states the reason without repeating the text."""


@dataclass(frozen=True)
class Contact:
    """A contact of a company.

    Attributes:
        id: UUIDv7.
        phone: phone number, E.164 with +.
        name: name of the contact; may be empty.
    """

    id: UUID
    phone: str
    name: str


@dataclass(frozen=True)
class ContactList:
    """A named list of contacts.

    Attributes:
        id: UUIDv7.
        name: unique per company.
        member_count: number of contacts on the list.
    """

    id: UUID
    name: str
    member_count: int


def normalise_phone(text: str, country: str) -> str:
    """Return a phone number in E.164.

    Args:
        text: number in any common notation, with or without country code.
        country: ISO 3166 code of the country of numbers without country code.

    Returns:
        The number with the plus sign.

    Raises:
        InvalidPhoneNumberError: the text is empty, not a number, or not a valid number.
    """
    if not text.strip():
        raise InvalidPhoneNumberError("the phone number is empty")
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise InvalidPhoneNumberError("not a phone number") from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhoneNumberError("not a phone number: too short or too long")
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhoneNumberError("not a valid phone number of its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_name(text: str) -> str:
    """Return a name on one line, stripped and truncated to the maximum length."""
    return _BLANK.sub(" ", text).strip()[:MAX_NAME_CHARACTERS].rstrip()


def validate_list_name(name: str) -> str:
    """Return the stripped name of a list.

    Raises:
        InvalidError: the name is empty, too long, or contains invalid characters.
    """
    name = name.strip()
    if not LIST_NAME.fullmatch(name):
        raise InvalidError(
            "a list name has 1 to 100 letters, digits, spaces or . _ @ - and starts with a letter or digit"
        )
    return name
