"""Lists and contacts in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from services.contacts.domain import Contact, ContactList
from services.kit.ids import uuid7
from services.kit.keyed import KeyedLock
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.database import Database

SQL = load_queries(Path(__file__).with_name("queries.sql"))
FIRST = UUID(int=0)
TURN_SECONDS = 5.0
"""That a batch waits for others of its list here. In the database it would wait for the list's count with a
connection taken, and a list that many import into at once would leave none for anything else."""


class PostgresContacts:
    """See `ports.Contacts`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._growing = KeyedLock(TURN_SECONDS)

    async def begin_import(self, company: str, list_name: str, import_id: UUID) -> UUID:
        """See `Contacts`."""
        async with self._database.work() as work:
            # A known list is found without its lock, else imports into it wait for each other's commits.
            row = await work.row(SQL["list_find"], company=company, name=list_name)
            row = row or await work.row(SQL["list_make"], company=company, id=uuid7(), name=list_name)
            if row is None:
                raise LookupError("an upsert returns its row")
            await work.run(SQL["import_begin"], company=company, id=import_id, list_id=row.id)
            await work.commit()
        list_id: UUID = row.id
        return list_id

    async def add(self, company: str, list_id: UUID, import_id: UUID, contacts: Sequence[Contact]) -> int:
        """See `Contacts`: COPY into a temporary table, then two merges."""
        async with self._growing.holding(list_id), self._database.work() as work:
            await work.run(SQL["incoming_make"])
            records = ((contact.id, contact.phone, contact.name) for contact in contacts)
            await work.copy("incoming", ("id", "phone", "name"), records)
            await work.run(SQL["contacts_merge"], company=company)
            added = await work.run(SQL["members_add"], company=company, list_id=list_id)
            duplicates = len(contacts) - added
            await work.run(SQL["list_grow"], company=company, id=list_id, added=added)
            await work.run(
                SQL["import_add"], company=company, id=import_id, accepted=added, duplicates=duplicates
            )
            await work.commit()
        return added

    async def end_import(self, company: str, import_id: UUID, rejected: int) -> None:
        """See `Contacts`."""
        async with self._database.work() as work:
            await work.run(SQL["import_end"], company=company, id=import_id, rejected=rejected)
            await work.commit()

    async def lists(self, company: str, after: str, limit: int) -> list[ContactList]:
        """See `Contacts`."""
        async with self._database.reading() as work:
            rows = await work.rows(SQL["lists_page"], company=company, after=after, most=limit)
        return [ContactList(row.id, row.name, row.contacts) for row in rows]

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """See `Contacts`."""
        async with self._database.reading() as work:
            row = await work.row(SQL["list_find"], company=company, name=name)
        return ContactList(row.id, row.name, row.contacts) if row else None

    async def page(self, company: str, list_id: UUID, after: UUID | None, limit: int) -> list[Contact]:
        """See `Contacts`."""
        async with self._database.reading() as work:
            rows = await work.rows(
                SQL["members_page"], company=company, list_id=list_id, after=after or FIRST, most=limit
            )
        return [Contact(row.id, row.phone, row.name) for row in rows]
