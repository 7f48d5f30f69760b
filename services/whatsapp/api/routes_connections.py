"""Routes of connections, for the company's own staff."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from services.contracts.validation import CONNECTION_NAME_PATTERN
from services.kit.http.auth import Principal, require_scope
from services.kit.http.retrying_route import RetryingRoute
from services.whatsapp import handlers
from services.whatsapp.api.dependencies import Dependencies  # noqa: TC001 - FastAPI reads the annotations
from services.whatsapp.api.schemas import Connection, ConnectionState
from services.whatsapp.commands import PutConnection

Reader = Annotated[Principal, Depends(require_scope("connections:read"))]
Writer = Annotated[Principal, Depends(require_scope("connections:write"))]
Name = Annotated[str, Path(pattern=CONNECTION_NAME_PATTERN)]
router = APIRouter(prefix="/connections", tags=["connections"], route_class=RetryingRoute)


@router.put("/{name}")
async def put_connection(
    name: Name, body: Connection, principal: Writer, dependencies: Dependencies
) -> Connection:
    """Create or change a connection. A suspended connection sends again."""
    command = PutConnection(
        company=principal.company,
        name=name,
        phone_number_id=body.phone_number_id,
        messages_per_second=body.messages_per_second,
        recipients_per_day=body.recipients_per_day,
        keep_quota="recipients_per_day" not in body.model_fields_set,
    )
    await handlers.put_connection(command, dependencies.uow_factory)
    return body


@router.get("/{name}")
async def get_connection(name: Name, principal: Reader, dependencies: Dependencies) -> ConnectionState:
    """Return a connection with its limits and its load."""
    connection = await handlers.get_connection(principal.company, name, dependencies.read_only_uow_factory)
    return ConnectionState.model_validate(asdict(connection))
