"""In-memory fakes of the ports, for tests of handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contacts.domain.model import Contact, ContactList
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from services.contacts.commands import ImportBatch


class FakeContactRepository:
    """See `ports.ContactRepository`."""

    def __init__(self) -> None:
        self.list_ids: dict[tuple[str, str], UUID] = {}
        self.contacts: dict[tuple[str, str], Contact] = {}
        self.members: dict[UUID, set[str]] = {}

    async def add_batch(self, batch: ImportBatch) -> int:
        """See `ports.ContactRepository.add_batch`."""
        list_id = self.list_ids.setdefault((batch.company, batch.list_name), uuid7())
        members = self.members.setdefault(list_id, set())
        previous_count = len(members)
        for contact in batch.contacts:
            key = (batch.company, contact.phone)
            stored = self.contacts.setdefault(key, contact)
            if not stored.name:
                self.contacts[key] = Contact(stored.id, stored.phone, contact.name)
            members.add(contact.phone)
        return len(members) - previous_count

    async def lists_page(self, company: str, after: str, limit: int) -> list[ContactList]:
        """See `ports.ContactRepository.lists_page`."""
        names = sorted(name for owner, name in self.list_ids if owner == company and name > after)
        return [self._list(company, name) for name in names[:limit]]

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """See `ports.ContactRepository.find_list`."""
        return self._list(company, name) if (company, name) in self.list_ids else None

    async def delete_list_batch(self, company: str, name: str) -> bool:
        """See `ports.ContactRepository.delete_list_batch`."""
        list_id = self.list_ids.pop((company, name), None)
        if list_id is not None:
            del self.members[list_id]
        return True

    async def contacts_page(
        self, company: str, list_id: UUID, after: UUID | None, limit: int
    ) -> list[Contact]:
        """See `ports.ContactRepository.contacts_page`."""
        members = (self.contacts[company, phone] for phone in self.members[list_id])
        contacts = sorted(members, key=lambda contact: contact.id)
        return [contact for contact in contacts if after is None or contact.id > after][:limit]

    def _list(self, company: str, name: str) -> ContactList:
        list_id = self.list_ids[company, name]
        return ContactList(list_id, name, len(self.members[list_id]))
