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
    from services.contacts.commands import Part
    from services.kit.database import Database, Work

SQL = load_queries(Path(__file__).with_name("queries.sql"))
FIRST = UUID(int=0)
TURN_SECONDS = 5.0
"""That a part of a file waits for others of its list here. In the database it would wait for the list's count
with a connection taken, and a list that many import into at once would leave none for anything else."""
FIRST_TURN_SECONDS = 1.0
"""The same for the first part of a file. Callers give up after a few seconds: were all stored one after the
other, none would be while its caller still waits, once they come faster than they are stored."""


class PostgresContacts:
    """See `ports.Contacts`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._growing = KeyedLock()

    async def store(self, part: Part) -> int:
        """See `Contacts`."""
        seconds = FIRST_TURN_SECONDS if part.first else TURN_SECONDS
        turn = self._growing.holding((part.company, part.list_name), seconds)
        async with turn, self._database.work() as work:
            list_id = await _list_of(work, part)
            added = await _put(work, part, list_id) if part.contacts else 0
            await work.run(
                SQL["import_record"],
                company=part.company,
                id=part.import_id,
                list_id=list_id,
                accepted=added,
                duplicates=len(part.contacts) - added,
                rejected=part.rejected or 0,
                ended=part.rejected is not None,
            )
            await work.commit()
        return added

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


async def _list_of(work: Work, part: Part) -> UUID:
    row = await work.row(SQL["list_find"], company=part.company, name=part.list_name)
    row = row or await work.row(SQL["list_make"], company=part.company, id=uuid7(), name=part.list_name)
    if row is None:
        raise LookupError("an upsert returns its row")
    list_id: UUID = row.id
    return list_id


async def _put(work: Work, part: Part, list_id: UUID) -> int:
    """COPY into a temporary table, then two merges; return how many were not on the list."""
    await work.run(SQL["incoming_make"])
    records = ((contact.id, contact.phone, contact.name) for contact in part.contacts)
    await work.copy("incoming", ("id", "phone", "name"), records)
    await work.run(SQL["contacts_merge"], company=part.company)
    added = await work.run(SQL["members_add"], company=part.company, list_id=list_id)
    await work.run(SQL["list_grow"], company=part.company, id=list_id, added=added)
    return added
