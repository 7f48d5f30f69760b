"""Ports of the contacts service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from services.contacts.commands import ImportBatch
    from services.contacts.domain.model import Contact, ContactList


class ContactRepository(Protocol):
    """Lists and contacts of companies. Each call is one transaction."""

    async def add_batch(self, batch: ImportBatch) -> int:
        """Add contacts to a list; the list is created if it does not exist.

        A contact whose number the company has already is kept, and gets the name if it had none. The first
        batch of a file creates the import record, the last one ends it.

        Returns:
            The number of contacts that were new to the list.

        Raises:
            TemporaryError: too many concurrent imports into the list. The first batch of a file has a shorter
                timeout, as nothing of the file is stored yet.
        """
        ...

    async def lists_page(self, company: str, after: str, limit: int) -> list[ContactList]:
        """Return lists of a company by name.

        Args:
            company: the tenant.
            after: return lists after this name; empty for the first.
            limit: maximum number of lists.

        Returns:
            The lists.
        """
        ...

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """Return the list of a name.

        Args:
            company: the tenant.
            name: name of the list.

        Returns:
            The list, or None when the company has no such list.
        """
        ...

    async def delete_list_batch(self, company: str, name: str) -> bool:
        """Delete a batch of a list's members; the last batch deletes the list and its import records.

        Contacts stay: they belong to the company, and may be on other lists.

        Args:
            company: the tenant.
            name: name of the list.

        Returns:
            Whether the list is gone.
        """
        ...

    async def contacts_page(
        self, company: str, list_id: UUID, after: UUID | None, limit: int
    ) -> list[Contact]:
        """Return contacts of a list by id.

        Args:
            company: the tenant.
            list_id: the list.
            after: return contacts after this id; None for the first.
            limit: maximum number of contacts.

        Returns:
            The contacts.
        """
        ...
