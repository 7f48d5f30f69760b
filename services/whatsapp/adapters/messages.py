"""The HTTP face of replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations when it runs

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.contracts.limits import CONNECTION_NAME, TEXT_CHARACTERS
from services.kit.auth import Caller, allowed
from services.kit.http import NO_NUL, IdempotencyKey
from services.whatsapp.replies import Reply

if TYPE_CHECKING:
    from services.whatsapp.replies import Replies

HOUR_SECONDS = 3600.0
Reader = Annotated[Caller, Depends(allowed("messages:read"))]
Writer = Annotated[Caller, Depends(allowed("messages:write"))]
router = APIRouter(prefix="/messages", tags=["messages"])


class NewMessage(BaseModel):
    """A text to one person, who waits for it: what is not begun after `seconds` is not sent."""

    model_config = ConfigDict(extra="forbid")

    connection: str = Field(pattern=CONNECTION_NAME)
    to: str = Field(pattern=r"^\+[1-9]\d{7,14}$")
    text: str = Field(min_length=1, max_length=TEXT_CHARACTERS, pattern=NO_NUL)
    seconds: float = Field(default=HOUR_SECONDS, ge=1, le=24 * HOUR_SECONDS)


class Taken(BaseModel):
    """The message that will be sent."""

    id: UUID


class MessageAnswer(BaseModel):
    """Where a message is. `code` and `reason` say why it failed or waits."""

    id: UUID
    connection: str
    to: str
    state: str
    code: int | None
    reason: str | None
    requested_at: AwareDatetime
    accepted_at: AwareDatetime | None
    sent_at: AwareDatetime | None
    delivered_at: AwareDatetime | None
    read_at: AwareDatetime | None
    failed_at: AwareDatetime | None


def _replies(request: Request) -> Replies:
    replies: Replies = request.app.state.replies
    return replies


@router.post("", status_code=202)
async def take(request: Request, caller: Writer, body: NewMessage, idempotency_key: IdempotencyKey) -> Taken:
    """Send a message to one person, before campaigns of the same connection. The same key sends once.

    429 with `Retry-After` when it could not go out soon.
    """
    reply = Reply(caller.company, idempotency_key, body.connection, body.to, body.text, body.seconds)
    return Taken(id=await _replies(request).take(reply))


@router.get("/{message_id}")
async def read(request: Request, caller: Reader, message_id: UUID) -> MessageAnswer:
    """Return where a message is."""
    row = await _replies(request).read(caller.company, message_id)
    return MessageAnswer(
        id=message_id,
        connection=row.connection,
        to=row.recipient,
        state=row.state,
        code=row.code,
        reason=row.reason,
        requested_at=row.requested_at,
        accepted_at=row.accepted_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        read_at=row.read_at,
        failed_at=row.failed_at,
    )
