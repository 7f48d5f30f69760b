"""Commands of the contacts service and their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from services.contacts.domain.csv_import import Rejections
    from services.contacts.domain.model import Contact


@dataclass(frozen=True)
class ImportContacts:
    """Add the contacts of a CSV file to a list; the list is created if it does not exist.

    Attributes:
        company: the tenant.
        list_name: name of the list as received, not yet validated.
        chunks: the streamed file.
    """

    company: str
    list_name: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class ImportBatch:
    """A batch of a file's contacts, stored in one transaction.

    Attributes:
        company: the tenant.
        list_name: list of the contacts.
        import_id: import of the file.
        contacts: empty when all rows of the batch were rejected.
        is_first: whether this is the first batch of the file.
        rejected: rejected rows of the whole file; set in its last batch only.
    """

    company: str
    list_name: str
    import_id: UUID
    contacts: Sequence[Contact]
    is_first: bool
    rejected: int | None


@dataclass(frozen=True)
class ImportResult:
    """Result of an import.

    Attributes:
        import_id: id of the import record.
        list_name: list of the contacts.
        accepted: contacts added to the list.
        duplicates: rows whose number was on the list already, or earlier in the file.
        rejections: rejected rows.
    """

    import_id: UUID
    list_name: str
    accepted: int
    duplicates: int
    rejections: Rejections
