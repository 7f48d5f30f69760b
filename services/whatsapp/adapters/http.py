"""The HTTP face: connections by the company's own people, callbacks by the provider."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import PlainTextResponse, Response
from pydantic import AwareDatetime, BaseModel, Field

from services.contracts.limits import CONNECTION_NAME
from services.kit.auth import Caller, allowed
from services.kit.errors import ConflictError, ForbiddenError, NotFoundError, UnauthorisedError
from services.kit.sql import load_queries
from services.whatsapp.signature import HEADER, matches

if TYPE_CHECKING:
    from services.kit.database import Database

CALLBACK_PATH = "/webhooks/cloud"
CALLBACK_BYTES = 3 << 20
"""The provider's own limit."""
COUNTED = 100_000
"""Waiting messages are counted up to here."""
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


@dataclass(frozen=True)
class Face:
    """What the addresses need.

    Attributes:
        database: where connections and raw callbacks go.
        app_secret: key of the callbacks' signature.
        verify_token: what the handshake must show.
    """

    database: Database
    app_secret: bytes
    verify_token: bytes


class Connection(BaseModel):
    """A number of the company.

    Attributes:
        phone_number_id: the provider's id of it.
        messages_per_second: what the provider grants it; None means the environment's default.
        recipients_per_day: people that campaigns may reach within 24 hours; None means any number. Left out,
            it stays as it is.
    """

    phone_number_id: str = Field(pattern=r"^\d{1,32}$")
    messages_per_second: float | None = Field(default=None, gt=0, le=2000)
    recipients_per_day: int | None = Field(default=None, ge=1, le=10_000_000)


class ConnectionState(Connection):
    """A connection as it stands.

    Attributes:
        pace: share of its rate that is used now; the provider's complaints lower it.
        held_until: nothing is sent before, if it is held.
        reached: people that campaigns reached within 24 hours, where there is a quota.
        waiting: messages that wait for it, counted up to 100,000.
    """

    pace: float
    held_until: AwareDatetime | None
    reached: int
    waiting: int


async def _face(request: Request) -> Face:
    face: Face = request.app.state.face
    return face


FaceOf = Annotated[Face, Depends(_face)]
Reader = Annotated[Caller, Depends(allowed("connections:read"))]
Writer = Annotated[Caller, Depends(allowed("connections:write"))]
Name = Annotated[str, InPath(pattern=CONNECTION_NAME)]
router = APIRouter()


@router.put("/connections/{name}", tags=["connections"])
async def put_connection(name: Name, wanted: Connection, caller: Writer, face: FaceOf) -> Connection:
    """Create or change a connection; sending from it, if it was held, starts again."""
    async with face.database.work() as work:
        owner = await work.row(SQL["claim_number"], number=wanted.phone_number_id, company=caller.company)
        if owner is None or owner.company != caller.company:
            raise ConflictError("this number belongs to another company")
        await work.run(
            SQL["put_connection"],
            company=caller.company,
            name=name,
            number=wanted.phone_number_id,
            rate=wanted.messages_per_second,
            quota=wanted.recipients_per_day,
            keep_quota="recipients_per_day" not in wanted.model_fields_set,
        )
        await work.commit()
    return wanted


@router.get("/connections/{name}", tags=["connections"])
async def read_connection(name: Name, caller: Reader, face: FaceOf) -> ConnectionState:
    """Tell how a connection stands, and so why something waits for it."""
    async with face.database.reading() as work:
        row = await work.row(SQL["connection_read"], company=caller.company, name=name, most=COUNTED)
    if row is None:
        raise NotFoundError("there is no such connection")
    return ConnectionState(
        phone_number_id=row.phone_number_id,
        messages_per_second=row.rate,
        recipients_per_day=row.quota,
        pace=row.pace,
        held_until=row.held_until,
        reached=row.reached,
        waiting=row.waiting,
    )


@router.get(CALLBACK_PATH, tags=["callbacks"], response_class=PlainTextResponse)
async def handshake(
    face: FaceOf,
    mode: Annotated[str, Query(alias="hub.mode")],
    challenge: Annotated[str, Query(alias="hub.challenge", max_length=256)],
    token: Annotated[str, Query(alias="hub.verify_token")],
) -> PlainTextResponse:
    """Prove to the provider that this address is ours."""
    if mode != "subscribe" or not hmac.compare_digest(token.encode(), face.verify_token):
        raise ForbiddenError("the verify token is not the one agreed on")
    return PlainTextResponse(challenge)


@router.post(CALLBACK_PATH, tags=["callbacks"])
async def take_callback(request: Request, face: FaceOf) -> Response:
    """Store a callback as it came; it is worked on later."""
    signature = request.headers.get(HEADER)
    if signature is None:
        raise UnauthorisedError(f"{HEADER} is missing")
    body = await request.body()
    if not matches(face.app_secret, body, signature):
        raise ForbiddenError(f"{HEADER} does not fit the body")
    async with face.database.work() as work:
        await work.run(SQL["store_callback"], body=body)
        await work.commit()
    return Response()
