"""What the handlers need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.contacts.domain import Contact, ContactList


class Contacts(Protocol):
    """Lists and contacts of companies. Each call is one transaction."""

    async def begin_import(self, company: str, list_name: str, import_id: UUID) -> UUID:
        """Record that an import began; return the list's id, making the list when it is new."""
        ...

    async def add(self, company: str, list_id: UUID, import_id: UUID, contacts: Sequence[Contact]) -> int:
        """Put contacts on the list; return how many were not on it.

        A number that the company knows keeps its contact, and gets the name if it had none.
        """
        ...

    async def end_import(self, company: str, import_id: UUID, rejected: int) -> None:
        """Record that the file was read to its end."""
        ...

    async def lists(self, company: str, after: str, limit: int) -> list[ContactList]:
        """Return lists by name, those after the given one."""
        ...

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """Return the list of that name."""
        ...

    async def page(self, company: str, list_id: UUID, after: UUID | None, limit: int) -> list[Contact]:
        """Return contacts of a list by id, those after the given one."""
        ...
