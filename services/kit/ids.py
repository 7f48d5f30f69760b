"""Identifiers: UUIDv7, which sort by creation time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uuid_utils import compat

if TYPE_CHECKING:
    from uuid import UUID


def uuid7() -> UUID:
    """Return a new identifier that sorts after those created before it (to the millisecond)."""
    return compat.uuid7()
