"""What the handlers need from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from services.contacts.commands import Part
    from services.contacts.domain import Contact, ContactList


class Contacts(Protocol):
    """Lists and contacts of companies. Each call is one transaction."""

    async def store(self, part: Part) -> int:
        """Put contacts on a list, which is made when it is new; return how many were not on it.

        A number that the company knows keeps its contact, and gets the name if it had none. The record of the
        import begins with the first part of a file, and ends with the last.

        Raises:
            TemporaryError: too many import into the list. The first part is refused sooner than others, as
                nothing is lost with it.
        """
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
