"""The Cloud API face: `POST /v{X.Y}/{phone_number_id}/messages`, with the faults that are switched on."""

from __future__ import annotations

import asyncio
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from services.kit.errors import TooLargeError
from services.kit.http import BodyLimit
from services.kit.ids import uuid7
from services.simulator.adapters.ledger import NotRecordedError
from services.simulator.graph import accepted, error_of, wamid_of
from services.simulator.requests import INVALID_REQUEST, ReadMark, RefusedRequestError, SendRequest, parse
from services.simulator.statuses import Send, plan

if TYPE_CHECKING:
    from random import Random

    from starlette.types import ASGIApp, Receive, Scope
    from starlette.types import Send as Answer

    from services.simulator.adapters.controls import Controls
    from services.simulator.adapters.ledger import Ledger

BAD_TOKEN = 190
PATH = re.compile(r"(?:/(?P<version>[^/]+))?/(?P<phone_number_id>[^/]+)/messages")
VERSION = re.compile(r"v\d+\.\d+")
DIGITS = re.compile(r"\d{1,32}")
DEAD_NUMBER = 33


@dataclass(frozen=True)
class Face:
    """What the face needs.

    Attributes:
        ledger: where sends are recorded.
        controls: how to behave.
        token: the bearer token that is asked for.
        rng: draws faults and fates.
    """

    ledger: Ledger
    controls: Controls
    token: bytes
    rng: Random


class CutResponse(Response):
    """Closes the connection where an answer was due: the caller cannot know what happened."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Answer) -> None:
        """Announce a body and end without it, upon which the server drops the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1024")]})


class Sends:
    """Answers sends before all else: what lies between is not needed here, and every message pays for it."""

    def __init__(self, app: ASGIApp, face: Face) -> None:
        self._others = app
        self._face = face
        self._sends = BodyLimit(self._send, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Answer) -> None:
        """Answer, or have it answered."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if is_post and (found := PATH.fullmatch(scope["path"])):
            await self._sends({**scope, "path_params": found.groupdict()}, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _send(self, scope: Scope, receive: Receive, send: Answer) -> None:
        try:
            answer = await _send(Request(scope, receive), self._face)
        except TooLargeError as error:
            answer = _refusal(INVALID_REQUEST, str(error))
        except ClientDisconnect:
            return
        await answer(scope, receive, send)


async def unknown(request: Request) -> Response:
    """Answer whatever else is asked for, in the Graph API's way."""
    return _refusal(INVALID_REQUEST, f"Unsupported {request.method} request")


async def _send(request: Request, face: Face) -> Response:
    """Send a text message, or mark one as read; the oldest version has no name."""
    version, phone_number_id = request.path_params["version"], request.path_params["phone_number_id"]
    if version is not None and not VERSION.fullmatch(version):
        return _refusal(INVALID_REQUEST, f"unknown version {version[:20]}")
    if not _bearer_matches(request, face.token):
        return _refusal(BAD_TOKEN)
    if not DIGITS.fullmatch(phone_number_id):
        return _refusal(DEAD_NUMBER, "phone_number_id is made of digits")
    try:
        wanted = parse(await request.body())
    except RefusedRequestError as error:
        return _refusal(error.code, error.details)
    if isinstance(wanted, ReadMark):
        return JSONResponse({"success": True})
    return await _take(phone_number_id, wanted, face)


async def _take(phone_number_id: str, wanted: SendRequest, face: Face) -> Response:
    """Take the message, or be faulty, as the behaviour in force says."""
    behaviour = face.controls.current
    await asyncio.sleep(behaviour.latency.seconds(face.rng))
    refused = behaviour.refusal(face.rng)
    if refused is not None:
        return _refusal(refused)
    send_id = uuid7()
    send = Send(
        id=send_id,
        wamid=wamid_of(send_id),
        phone_number_id=phone_number_id,
        recipient=wanted.to.lstrip("+"),
        tracker=wanted.biz_opaque_callback_data,
        received_at=datetime.now(UTC),
    )
    try:
        await face.ledger.record(send, plan(behaviour, face.rng))
    except NotRecordedError:
        return CutResponse()
    if face.rng.random() < behaviour.reset_after_accept:
        return CutResponse()
    return JSONResponse(accepted(wanted.to, send.wamid))


def _bearer_matches(request: Request, token: bytes) -> bool:
    """Compare in constant time."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token)


def _refusal(code: int, details: str = "") -> JSONResponse:
    status, body = error_of(code, details)
    return JSONResponse(body, status)
