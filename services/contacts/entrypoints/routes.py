"""The HTTP addresses of the service."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - pydantic reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from services.contacts import handlers
from services.contacts.commands import ImportContacts
from services.kit.auth import Caller, allowed

if TYPE_CHECKING:
    from services.contacts.ports import Contacts

PAGE = 1000
"""Most contacts of one page."""
CSV = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
    }
}
router = APIRouter(prefix="/contacts", tags=["contacts"])
Reader = Annotated[Caller, Depends(allowed("contacts:read"))]
Writer = Annotated[Caller, Depends(allowed("contacts:write"))]


class RejectedRow(BaseModel):
    """A row that is no contact."""

    line: int
    reason: str


class ImportAnswer(BaseModel):
    """What became of a file; `rejected` lists the first thousand of `rejected_total`."""

    import_id: UUID
    list: str
    accepted: int
    duplicates: int
    rejected: Sequence[RejectedRow]
    rejected_total: int


class ListAnswer(BaseModel):
    """A list and how many are on it."""

    name: str
    contacts: int


class ListsAnswer(BaseModel):
    """A page of lists; `next` is given as `after` for the next one, null at the end."""

    lists: list[ListAnswer]
    next: str | None


class ContactAnswer(BaseModel):
    """A contact."""

    id: UUID
    phone: str
    name: str


class ContactsAnswer(BaseModel):
    """A page of contacts; `next` is given as `after` for the next one, null at the end."""

    total: int
    contacts: list[ContactAnswer]
    next: UUID | None


@router.post("/imports", status_code=201, openapi_extra=CSV)
async def import_contacts(
    request: Request, caller: Writer, name: Annotated[str, Query(alias="list")]
) -> ImportAnswer:
    """Put the contacts of a CSV file (the body, streamed) on a list."""
    command = ImportContacts(caller.company, name, request.stream())
    done = await handlers.import_contacts(command, _contacts(request), request.app.state.country)
    return ImportAnswer(
        import_id=done.import_id,
        list=done.list_name,
        accepted=done.accepted,
        duplicates=done.duplicates,
        rejected=[RejectedRow(line=row.line, reason=row.reason) for row in done.rejections.listed],
        rejected_total=done.rejections.total,
    )


@router.get("/lists")
async def lists(
    request: Request, caller: Reader, after: str = "", limit: Annotated[int, Query(ge=1, le=PAGE)] = 100
) -> ListsAnswer:
    """Return the company's lists by name."""
    found = await _contacts(request).lists(caller.company, after, limit)
    answers = [ListAnswer(name=one.name, contacts=one.contacts) for one in found]
    return ListsAnswer(lists=answers, next=found[-1].name if len(found) == limit else None)


@router.get("/lists/{name}/contacts")
async def contacts_of_list(
    request: Request,
    caller: Reader,
    name: str,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 500,
) -> ContactsAnswer:
    """Return a page of a list's contacts, in an order that new contacts do not disturb."""
    found, page = await handlers.read_page(caller.company, name, after, limit, _contacts(request))
    answers = [ContactAnswer(id=one.id, phone=one.phone, name=one.name) for one in page]
    return ContactsAnswer(
        total=found.contacts, contacts=answers, next=page[-1].id if len(page) == limit else None
    )


def _contacts(request: Request) -> Contacts:
    contacts: Contacts = request.app.state.contacts
    return contacts
