"""Problems of a validated document, in words for its reader."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from infra.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MESSAGES = {"missing": "is missing", "extra_forbidden": "is not a field of this document"}
"""Messages instead of pydantic's, by its error type."""
_SECRET_FIELD = "credentials"  # noqa: S105 - the name of a field


def problems_of(
    error: ValidationError, *, source: str, remedy: str, omit: Iterable[str] = ()
) -> list[Problem]:
    """Return all problems of a document.

    Args:
        error: the error of its validation.
        source: name of the document, e.g. its path.
        remedy: the next step for the reader.
        omit: parts of a location that are not in the document, such as the tag of a union.

    Returns:
        The problems; their locations are `SOURCE: FIELD`. No message contains a credential.
    """
    omitted = set(omit)
    return [_problem(details, source, remedy, omitted) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, source: str, remedy: str, omitted: set[str]) -> Problem:
    field = ".".join(str(part) for part in details["loc"] if part not in omitted)
    message = _MESSAGES.get(details["type"]) or details["msg"].removeprefix("Value error, ")
    # A message must not contain a credential, and a missing field has no value.
    shows_value = isinstance(details["input"], str | int | float | list | tuple) and not field.startswith(
        _SECRET_FIELD
    )
    value = f" (found {details['input']!r})" if shows_value and details["type"] not in _MESSAGES else ""
    return Problem(f"{message}{value}", f"{source}: {field}" if field else source, remedy)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean ...? ` for a misspelt name; empty when no known name is close.

    Args:
        name: the unknown name.
        known: the known names.
    """
    matches = get_close_matches(name, list(known))
    return f"Did you mean {' or '.join(f'`{match}`' for match in matches)}? " if matches else ""
