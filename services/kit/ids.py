"""Identifiers: UUIDv7, which sort by the time they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uuid_utils import compat

if TYPE_CHECKING:
    from uuid import UUID


def uuid7() -> UUID:
    """Return a new identifier, later in order than those made before it (to the millisecond)."""
    return compat.uuid7()
