"""What the service does: functions of a message and the ports they need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.contacts.commands import ImportContacts, Imported
from services.contacts.domain import Contact, checked_list_name
from services.contacts.reading import RowReader, batches
from services.kit.errors import InvalidError, NotFoundError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from uuid import UUID

    from services.contacts.domain import ContactList
    from services.contacts.ports import Contacts


async def import_contacts(command: ImportContacts, contacts: Contacts, country: str) -> Imported:
    """Store a file batch by batch. Cut off half way, what was stored stays; sending the file again is safe.

    Raises:
        InvalidError: the list's name or the beginning of the file is wrong, or the file is empty; nothing is
        stored.
        TemporaryError: the database went away; sending the file again goes on.
    """
    name = checked_list_name(command.list_name)
    reader, import_id = RowReader(country), uuid7()
    list_id: UUID | None = None
    accepted = duplicates = 0
    async for lines in batches(command.chunks):
        # Parsing takes tens of milliseconds: in a thread, so that other requests are answered.
        rows = await asyncio.to_thread(reader.read, lines)
        list_id = list_id or await contacts.begin_import(command.company, name, import_id)
        batch = [Contact(uuid7(), row.phone, row.name) for row in rows]
        added = await contacts.add(command.company, list_id, import_id, batch) if batch else 0
        accepted, duplicates = accepted + added, duplicates + len(batch) - added
    if list_id is None:
        raise InvalidError("the file is empty")
    await contacts.end_import(command.company, import_id, reader.rejections.total)
    return Imported(import_id, name, accepted, duplicates, reader.rejections)


async def read_page(
    company: str, list_name: str, after: UUID | None, limit: int, contacts: Contacts
) -> tuple[ContactList, list[Contact]]:
    """Return a list and a page of it.

    Raises:
        NotFoundError: the company has no such list.
    """
    found = await contacts.find_list(company, list_name)
    if found is None:
        raise NotFoundError("there is no such list")
    return found, await contacts.page(company, found.id, after, limit)
