"""What a contact is: a number in E.164, unique in its company, and a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import phonenumbers

from services.kit.errors import InvalidError

if TYPE_CHECKING:
    from uuid import UUID

NAME_CHARACTERS = 100
"""Longer names are cut."""
LIST_NAME = re.compile(r"\w[\w .@-]{0,99}")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


class NotAPhoneError(ValueError):
    """The text is no phone number; the message says why, without repeating it."""


@dataclass(frozen=True)
class Contact:
    """A person of a company.

    Attributes:
        id: UUIDv7.
        phone: E.164 with the plus sign.
        name: may be empty.
    """

    id: UUID
    phone: str
    name: str


@dataclass(frozen=True)
class ContactList:
    """A named list of contacts.

    Attributes:
        id: UUIDv7.
        name: unique in its company.
        contacts: how many are on it.
    """

    id: UUID
    name: str
    contacts: int


def normalise_phone(text: str, country: str) -> str:
    """Return the number in E.164.

    Args:
        text: as people write it, with or without country code.
        country: ISO 3166 code that is meant when there is none.

    Raises:
        NotAPhoneError: empty, no number, or a number that cannot exist.
    """
    if not text.strip():
        raise NotAPhoneError("the number is empty")
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise NotAPhoneError("not a phone number") from None
    if not phonenumbers.is_possible_number(number):
        raise NotAPhoneError("not a phone number: too short or too long")
    if not phonenumbers.is_valid_number(number):
        raise NotAPhoneError("not a phone number that exists in its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_name(text: str) -> str:
    """Return the name in one line, without surrounding space, cut where it is too long."""
    return _BLANK.sub(" ", text).strip()[:NAME_CHARACTERS].rstrip()


def checked_list_name(name: str) -> str:
    """Return the name of a list without surrounding space.

    Raises:
        InvalidError: empty, too long, or with characters that do not belong in a name.
    """
    name = name.strip()
    if not LIST_NAME.fullmatch(name):
        raise InvalidError(
            "a list's name has 1 to 100 letters, digits, spaces or . _ @ - and begins with a letter"
        )
    return name
