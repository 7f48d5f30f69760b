"""Routes of replies."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends

from services.kit.http.app import IdempotencyKey  # noqa: TC001 - FastAPI reads the annotations when it runs
from services.kit.http.auth import Principal, require_scope
from services.kit.http.retrying_route import RetryingRoute
from services.whatsapp import handlers
from services.whatsapp.api.dependencies import Dependencies  # noqa: TC001 - as above
from services.whatsapp.api.schemas import Message, NewReply, ReplyAccepted
from services.whatsapp.commands import SendReply

Reader = Annotated[Principal, Depends(require_scope("messages:read"))]
Writer = Annotated[Principal, Depends(require_scope("messages:write"))]
router = APIRouter(prefix="/messages", tags=["messages"], route_class=RetryingRoute)


@router.post("", status_code=202)
async def send_reply(
    principal: Writer, body: NewReply, idempotency_key: IdempotencyKey, dependencies: Dependencies
) -> ReplyAccepted:
    """Send a reply to one recipient, before campaign messages of the connection. The same key sends once.

    429 with `Retry-After` when the reply would not be sent soon.
    """
    command = SendReply(
        company=principal.company,
        idempotency_key=idempotency_key,
        connection=body.connection,
        recipient=body.to,
        text=body.text,
        ttl_seconds=body.ttl_seconds,
    )
    message_id = await handlers.send_reply(
        command, dependencies.uow_factory, dependencies.ready_queue, dependencies.default_rate
    )
    return ReplyAccepted(id=message_id)


@router.get("/{message_id}")
async def get_message(principal: Reader, message_id: UUID, dependencies: Dependencies) -> Message:
    """Return a message and its state."""
    record = await handlers.get_message(principal.company, message_id, dependencies.read_only_uow_factory)
    return Message(
        id=message_id,
        connection=record.connection,
        to=record.recipient,
        state=record.state.value,
        code=record.code,
        reason=record.reason,
        requested_at=record.requested_at,
        accepted_at=record.accepted_at,
        sent_at=record.sent_at,
        delivered_at=record.delivered_at,
        read_at=record.read_at,
        failed_at=record.failed_at,
    )
