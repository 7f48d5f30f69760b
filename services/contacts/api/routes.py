"""HTTP routes of the contacts API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Query, Request

from services.contacts import handlers
from services.contacts.api.schemas import (
    ContactPage,
    ContactResponse,
    ImportResponse,
    ListPage,
    ListResponse,
    RejectedRow,
)
from services.contacts.commands import ImportContacts
from services.kit.http.auth import Principal, require_scope
from services.kit.http.retrying_route import RetryingRoute

if TYPE_CHECKING:
    from services.contacts.ports import ContactRepository

MAX_ROWS_PER_PAGE = 1000
CSV_REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
    }
}
router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=RetryingRoute)
Reader = Annotated[Principal, Depends(require_scope("contacts:read"))]
Writer = Annotated[Principal, Depends(require_scope("contacts:write"))]


@router.post("/imports", status_code=201, openapi_extra=CSV_REQUEST_BODY)
async def import_contacts(
    request: Request, principal: Writer, name: Annotated[str, Query(alias="list")]
) -> ImportResponse:
    """Add the contacts of a CSV file (the streamed body) to a list."""
    command = ImportContacts(principal.company, name, request.stream())
    result = await handlers.import_contacts(command, _contacts(request), request.app.state.country)
    return ImportResponse(
        import_id=result.import_id,
        list=result.list_name,
        accepted=result.accepted,
        duplicates=result.duplicates,
        rejected=[RejectedRow(line=row.line, reason=row.reason) for row in result.rejections.first],
        rejected_total=result.rejections.total,
    )


@router.get("/lists")
async def list_lists(
    request: Request,
    principal: Reader,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS_PER_PAGE)] = 100,
) -> ListPage:
    """Return a page of the company's lists by name."""
    page = await _contacts(request).lists_page(principal.company, after, limit)
    lists = [ListResponse(name=row.name, member_count=row.member_count) for row in page]
    return ListPage(lists=lists, next=page[-1].name if len(page) == limit else None)


@router.delete("/lists/{name}", status_code=204)
async def delete_list(request: Request, principal: Writer, name: str) -> None:
    """Delete a list; its contacts stay. A campaign that is still being planned from it fails."""
    await handlers.delete_list(principal.company, name, _contacts(request))


@router.get("/lists/{name}/contacts")
async def list_contacts(
    request: Request,
    principal: Reader,
    name: str,
    after: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS_PER_PAGE)] = 500,
) -> ContactPage:
    """Return a page of a list's contacts; new contacts do not change the order of existing ones."""
    contact_list, page = await handlers.list_contacts(
        principal.company, name, after, limit, _contacts(request)
    )
    contacts = [ContactResponse(id=contact.id, phone=contact.phone, name=contact.name) for contact in page]
    return ContactPage(
        total=contact_list.member_count,
        contacts=contacts,
        next=page[-1].id if len(page) == limit else None,
    )


def _contacts(request: Request) -> ContactRepository:
    contacts: ContactRepository = request.app.state.contacts
    return contacts
