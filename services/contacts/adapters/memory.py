"""Lists and contacts in memory, for tests of handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contacts.domain import Contact, ContactList
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from services.contacts.commands import Part


class FakeContacts:
    """See `ports.Contacts`."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], UUID] = {}
        self.contacts: dict[tuple[str, str], Contact] = {}
        self.members: dict[UUID, set[str]] = {}

    async def store(self, part: Part) -> int:
        """See `Contacts`."""
        members = self.members.setdefault(
            self.ids.setdefault((part.company, part.list_name), uuid7()), set[str]()
        )
        before = len(members)
        for contact in part.contacts:
            known = self.contacts.setdefault((part.company, contact.phone), contact)
            if not known.name:
                self.contacts[part.company, contact.phone] = Contact(known.id, known.phone, contact.name)
            members.add(contact.phone)
        return len(members) - before

    async def lists(self, company: str, after: str, limit: int) -> list[ContactList]:
        """See `Contacts`."""
        names = sorted(name for owner, name in self.ids if owner == company and name > after)
        return [self._list(company, name) for name in names[:limit]]

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """See `Contacts`."""
        return self._list(company, name) if (company, name) in self.ids else None

    async def page(self, company: str, list_id: UUID, after: UUID | None, limit: int) -> list[Contact]:
        """See `Contacts`."""
        everyone = sorted(
            (self.contacts[company, phone] for phone in self.members[list_id]), key=lambda c: c.id
        )
        return [contact for contact in everyone if after is None or contact.id > after][:limit]

    def _list(self, company: str, name: str) -> ContactList:
        list_id = self.ids[company, name]
        return ContactList(list_id, name, len(self.members[list_id]))
