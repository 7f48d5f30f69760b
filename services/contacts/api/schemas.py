"""Response bodies of the contacts API."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - pydantic reads the annotations when it runs
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations when it runs

from pydantic import BaseModel


class RejectedRow(BaseModel):
    """A rejected row of a file."""

    line: int
    reason: str


class ImportResponse(BaseModel):
    """Result of an import; `rejected` lists the first thousand of `rejected_total` rows."""

    import_id: UUID
    list: str
    accepted: int
    duplicates: int
    rejected: Sequence[RejectedRow]
    rejected_total: int


class ListResponse(BaseModel):
    """A list and its number of contacts."""

    name: str
    member_count: int


class ListPage(BaseModel):
    """A page of lists; pass `next` as `after` for the next page; null on the last page."""

    lists: list[ListResponse]
    next: str | None


class ContactResponse(BaseModel):
    """A contact."""

    id: UUID
    phone: str
    name: str


class ContactPage(BaseModel):
    """A page of contacts; pass `next` as `after` for the next page; null on the last page."""

    total: int
    contacts: list[ContactResponse]
    next: UUID | None
