"""Lists and contacts in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from services.contacts.domain.model import Contact, ContactList
from services.kit.ids import uuid7
from services.kit.keyed_limit import KeyedLimit
from services.kit.postgres.named_queries import load_queries

if TYPE_CHECKING:
    from services.contacts.commands import ImportBatch
    from services.kit.postgres.database import Database, Transaction

SQL = load_queries(Path(__file__).with_name("queries.sql"))
MIN_UUID = UUID(int=0)
MEMBERS_PER_DELETE = 5000
"""A transaction of this size holds its locks for tens of milliseconds."""
CONCURRENT_BATCHES_PER_LIST = 3
"""Batches of one list that are stored at the same time; only their last statements wait for the list's row.
More would exhaust the pool of connections while that row is locked."""
LIST_TIMEOUT_SECONDS = 5.0
"""Time that a batch waits in this process for other imports into the same list."""
FIRST_BATCH_TIMEOUT_SECONDS = 1.0
"""The same for the first batch of a file. Callers time out after a few seconds: if all imports waited in
line, none would finish before its caller's timeout once they arrive faster than they are stored."""


class PostgresContactRepository:
    """See `ports.ContactRepository`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._list_limit = KeyedLimit(CONCURRENT_BATCHES_PER_LIST)

    async def add_batch(self, batch: ImportBatch) -> int:
        """See `ports.ContactRepository.add_batch`."""
        seconds = FIRST_BATCH_TIMEOUT_SECONDS if batch.is_first else LIST_TIMEOUT_SECONDS
        limit = self._list_limit.acquire((batch.company, batch.list_name), seconds)
        async with limit, self._database.transaction() as transaction:
            list_id = await _get_or_create_list(transaction, batch)
            added = await _merge_contacts(transaction, batch, list_id) if batch.contacts else 0
            await transaction.execute(
                SQL["record_import"],
                company=batch.company,
                id=batch.import_id,
                list_id=list_id,
                accepted=added,
                duplicates=len(batch.contacts) - added,
                rejected=batch.rejected or 0,
                ended=batch.rejected is not None,
            )
            if batch.contacts:
                # Last, because it locks the row of the list: other imports into it wait for the commit only.
                await transaction.execute(
                    SQL["increment_member_count"], company=batch.company, id=list_id, added=added
                )
            await transaction.commit()
        return added

    async def lists_page(self, company: str, after: str, limit: int) -> list[ContactList]:
        """See `ports.ContactRepository.lists_page`."""
        async with self._database.read_only_transaction() as transaction:
            rows = await transaction.fetch_all(SQL["lists_page"], company=company, after=after, limit=limit)
        return [ContactList(row.id, row.name, row.member_count) for row in rows]

    async def find_list(self, company: str, name: str) -> ContactList | None:
        """See `ports.ContactRepository.find_list`."""
        async with self._database.read_only_transaction() as transaction:
            row = await transaction.fetch_one(SQL["find_list"], company=company, name=name)
        return ContactList(row.id, row.name, row.member_count) if row else None

    async def delete_list_batch(self, company: str, name: str) -> bool:
        """See `ports.ContactRepository.delete_list_batch`."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one(SQL["lock_list"], company=company, name=name)
            if row is None:
                return True
            key = {"company": company, "list_id": row.id}
            deleted = await transaction.execute(SQL["delete_members"], **key, limit=MEMBERS_PER_DELETE)
            if is_last := deleted < MEMBERS_PER_DELETE:
                await transaction.execute(SQL["delete_imports"], **key)
                await transaction.execute(SQL["delete_list"], **key)
            else:
                counter = {"company": company, "id": row.id, "added": -deleted}
                await transaction.execute(SQL["increment_member_count"], **counter)
            await transaction.commit()
        return is_last

    async def contacts_page(
        self, company: str, list_id: UUID, after: UUID | None, limit: int
    ) -> list[Contact]:
        """See `ports.ContactRepository.contacts_page`."""
        async with self._database.read_only_transaction() as transaction:
            rows = await transaction.fetch_all(
                SQL["list_members_page"],
                company=company,
                list_id=list_id,
                after=after or MIN_UUID,
                limit=limit,
            )
        return [Contact(row.id, row.phone, row.name) for row in rows]


async def _get_or_create_list(transaction: Transaction, batch: ImportBatch) -> UUID:
    row = await transaction.fetch_one(SQL["keep_list"], company=batch.company, name=batch.list_name)
    if row is None:
        row = await transaction.fetch_one(
            SQL["get_or_create_list"], company=batch.company, id=uuid7(), name=batch.list_name
        )
    if row is None:
        raise LookupError("the upsert of a list returned no row")
    list_id: UUID = row.id
    return list_id


async def _merge_contacts(transaction: Transaction, batch: ImportBatch, list_id: UUID) -> int:
    """COPY into a temporary table, then merge twice; return the number of contacts new to the list."""
    await transaction.execute(SQL["create_staging_table"])
    records = ((contact.id, contact.phone, contact.name) for contact in batch.contacts)
    await transaction.copy_records("staged_contacts", ("id", "phone", "name"), records)
    await transaction.execute(SQL["merge_contacts"], company=batch.company)
    return await transaction.execute(SQL["add_list_members"], company=batch.company, list_id=list_id)
