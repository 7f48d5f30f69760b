"""Command and query handlers of the contacts API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.contacts.commands import ImportBatch, ImportContacts, ImportResult
from services.contacts.domain.csv_import import RowParser, split_batches
from services.contacts.domain.model import Contact, validate_list_name
from services.kit.errors import InvalidError, NotFoundError, PartlyStoredError, TemporaryError
from services.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.contacts.domain.csv_import import Line
    from services.contacts.domain.model import ContactList
    from services.contacts.ports import ContactRepository


async def import_contacts(command: ImportContacts, contacts: ContactRepository, country: str) -> ImportResult:
    """Store the contacts of a file batch by batch.

    An interrupted import keeps its stored batches; sending the file again is safe.

    Args:
        command: list and file.
        contacts: stores the contacts.
        country: ISO 3166 code of the country of numbers without country code.

    Returns:
        The counts and the rejected rows.

    Raises:
        InvalidError: the name of the list or the first line of the file is invalid, or the file is empty;
            nothing is stored.
        TemporaryError: the database is unavailable, or there are too many concurrent imports into the list.
        PartlyStoredError: the same after a batch was stored; sending the file again continues, and counts
            stored contacts as duplicates.
    """
    name = validate_list_name(command.list_name)
    parser, import_id = RowParser(country), uuid7()
    accepted = duplicates = batches = 0
    async for lines, is_last in _mark_last_batch(split_batches(command.chunks)):
        # Parsing takes tens of milliseconds: in a thread, so that other requests are served meanwhile.
        rows = await asyncio.to_thread(parser.parse, lines)
        parsed = [Contact(uuid7(), row.phone, row.name) for row in rows]
        rejected = parser.rejections.total if is_last else None
        batch = ImportBatch(command.company, name, import_id, parsed, batches == 0, rejected)
        try:
            added = await contacts.add_batch(batch)
        except TemporaryError as error:
            if batches:
                raise PartlyStoredError(str(error), retry_after=error.retry_after) from error
            raise
        accepted, duplicates, batches = accepted + added, duplicates + len(parsed) - added, batches + 1
    if not batches:
        raise InvalidError("the file is empty")
    return ImportResult(import_id, name, accepted, duplicates, parser.rejections)


async def _mark_last_batch(
    batches: AsyncIterator[list[Line]],
) -> AsyncIterator[tuple[list[Line], bool]]:
    """Yield each batch and whether it is the last: a file of one batch then is one transaction."""
    previous: list[Line] | None = None
    async for lines in batches:
        if previous is not None:
            yield previous, False
        previous = lines
    if previous is not None:
        yield previous, True


async def list_contacts(
    company: str, list_name: str, after: UUID | None, limit: int, contacts: ContactRepository
) -> tuple[ContactList, list[Contact]]:
    """Return a list and a page of its contacts.

    Args:
        company: the tenant.
        list_name: name of the list.
        after: return contacts after this id; None for the first.
        limit: maximum number of contacts.
        contacts: stores the contacts.

    Returns:
        The list and the contacts.

    Raises:
        NotFoundError: the company has no such list.
    """
    contact_list = await contacts.find_list(company, list_name)
    if contact_list is None:
        raise NotFoundError("there is no such list")
    return contact_list, await contacts.contacts_page(company, contact_list.id, after, limit)


async def delete_list(company: str, list_name: str, contacts: ContactRepository) -> None:
    """Delete a list and its members; the contacts themselves stay.

    An interrupted deletion leaves a shorter list; deleting it again continues.

    Args:
        company: the tenant.
        list_name: name of the list.
        contacts: stores the contacts.

    Raises:
        NotFoundError: the company has no such list.
    """
    if await contacts.find_list(company, list_name) is None:
        raise NotFoundError("there is no such list")
    while not await contacts.delete_list_batch(company, list_name):
        pass
