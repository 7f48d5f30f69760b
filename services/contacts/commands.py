"""What the service can be asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from services.contacts.domain import Contact
    from services.contacts.reading import Rejections


@dataclass(frozen=True)
class ImportContacts:
    """Put the contacts of a CSV file on a list; the list is made when it is new.

    Attributes:
        company: the tenant.
        list_name: as the caller wrote it.
        chunks: the file as it arrives.
    """

    company: str
    list_name: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class Part:
    """A batch of a file, to be stored.

    Attributes:
        company: the tenant.
        list_name: where its contacts go.
        import_id: of the file.
        contacts: may be none, when no row of it was one.
        first: whether nothing of the file is stored yet.
        rejected: rows of the whole file that are no contacts, with its last part; else None.
    """

    company: str
    list_name: str
    import_id: UUID
    contacts: Sequence[Contact]
    first: bool
    rejected: int | None


@dataclass(frozen=True)
class Imported:
    """What became of a file.

    Attributes:
        import_id: of the record that is kept of it.
        list_name: where the contacts are.
        accepted: contacts that were not on the list before.
        duplicates: rows whose number was on the list already, or earlier in the file.
        rejections: rows that are no contacts.
    """

    import_id: UUID
    list_name: str
    accepted: int
    duplicates: int
    rejections: Rejections
