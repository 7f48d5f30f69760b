"""What the service does: functions of a message and the ports they need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.contacts.commands import ImportContacts, Imported, Part
from services.contacts.domain import Contact, checked_list_name
from services.contacts.reading import RowReader, batches
from services.kit.errors import InvalidError, NotFoundError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.contacts.domain import ContactList
    from services.contacts.ports import Contacts
    from services.contacts.reading import Line


async def import_contacts(command: ImportContacts, contacts: Contacts, country: str) -> Imported:
    """Store a file batch by batch. Cut off half way, what was stored stays; sending the file again is safe.

    Raises:
        InvalidError: the list's name or the beginning of the file is wrong, or the file is empty; nothing is
        stored.
        TemporaryError: the database went away, or too many import into the list; sending the file again goes
            on.
    """
    name = checked_list_name(command.list_name)
    reader, import_id = RowReader(country), uuid7()
    accepted = duplicates = parts = 0
    async for lines, last in _with_end(batches(command.chunks)):
        # Parsing takes tens of milliseconds: in a thread, so that other requests are answered.
        rows = await asyncio.to_thread(reader.read, lines)
        found = [Contact(uuid7(), row.phone, row.name) for row in rows]
        rejected = reader.rejections.total if last else None
        added = await contacts.store(Part(command.company, name, import_id, found, parts == 0, rejected))
        accepted, duplicates, parts = accepted + added, duplicates + len(found) - added, parts + 1
    if not parts:
        raise InvalidError("the file is empty")
    return Imported(import_id, name, accepted, duplicates, reader.rejections)


async def _with_end(batches: AsyncIterator[list[Line]]) -> AsyncIterator[tuple[list[Line], bool]]:
    """Yield each batch, and whether it is the last: a file of one batch is then one transaction."""
    held: list[Line] | None = None
    async for lines in batches:
        if held is not None:
            yield held, False
        held = lines
    if held is not None:
        yield held, True


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
