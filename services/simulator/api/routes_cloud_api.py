"""The Cloud API: `POST /v{X.Y}/{phone_number_id}/messages`, with the configured faults."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from services.kit.errors import TooLargeError
from services.kit.http.app import BodyLimitMiddleware
from services.simulator.commands import SendMessage
from services.simulator.domain.graph_api import accepted_response, error_response
from services.simulator.domain.message_requests import (
    INVALID_REQUEST,
    InvalidRequestError,
    MarkAsReadRequest,
    parse_request,
)
from services.simulator.domain.outcomes import Accepted, NoResponse, Rejected
from services.simulator.handlers import send_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.simulator.api.dependencies import ApiDependencies

INVALID_TOKEN_CODE = 190
UNKNOWN_NUMBER_CODE = 33
PATH = re.compile(r"(?:/(?P<version>[^/]+))?/(?P<phone_number_id>[^/]+)/messages")
VERSION = re.compile(r"v\d+\.\d+")
DIGITS = re.compile(r"\d{1,32}")


class ConnectionResetResponse(Response):
    """Closes the connection instead of responding: the client does not learn the outcome."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Announce a body and end without it, whereupon the server closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1024")]})


class SendFastPath:
    """Middleware that serves send requests before the app, whose layers they do not need."""

    def __init__(self, app: ASGIApp, dependencies: ApiDependencies) -> None:
        """Set up the middleware.

        Args:
            app: application that serves all other requests.
            dependencies: dependencies of send requests.
        """
        self._app = app
        self._dependencies = dependencies
        self._limited = BodyLimitMiddleware(self._serve, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a send request, or forward the request to the app."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if is_post and (match := PATH.fullmatch(scope["path"])):
            await self._limited({**scope, "path_params": match.groupdict()}, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _respond(Request(scope, receive), self._dependencies)
        except TooLargeError as error:
            response = _error(INVALID_REQUEST, str(error))
        except ClientDisconnect:
            return
        await response(scope, receive, send)


async def unsupported_path(request: Request) -> Response:
    """Respond to any other path as the Graph API does."""
    return _error(INVALID_REQUEST, f"Unsupported {request.method} request")


async def _respond(request: Request, dependencies: ApiDependencies) -> Response:
    """Receive a text message, or mark one as read."""
    try:
        phone_number_id = _check_path_and_token(request, dependencies.tokens)
        body = parse_request(await request.body())
    except InvalidRequestError as error:
        return _error(error.code, error.details)
    if isinstance(body, MarkAsReadRequest):
        return JSONResponse({"success": True})
    command = SendMessage(phone_number_id, body.to.lstrip("+"), body.biz_opaque_callback_data)
    current = dependencies.fault_configs.current
    match await send_message(command, dependencies.ledger, current, dependencies.rng):
        case Accepted(wamid):
            return JSONResponse(accepted_response(body.to, wamid))
        case Rejected(code):
            return _error(code)
        case NoResponse():
            return ConnectionResetResponse()


def _check_path_and_token(request: Request, tokens: Sequence[bytes]) -> str:
    """Return the phone number id. The oldest API version has no version in the path.

    Raises:
        InvalidRequestError: version, token or number is invalid.
    """
    version, phone_number_id = request.path_params["version"], request.path_params["phone_number_id"]
    if version is not None and not VERSION.fullmatch(version):
        raise InvalidRequestError(INVALID_REQUEST, f"unknown version {version[:20]}")
    if not _is_authorized(request, tokens):
        raise InvalidRequestError(INVALID_TOKEN_CODE, "")
    if not DIGITS.fullmatch(phone_number_id):
        raise InvalidRequestError(UNKNOWN_NUMBER_CODE, "phone_number_id consists of digits")
    return str(phone_number_id)


def _is_authorized(request: Request, tokens: Sequence[bytes]) -> bool:
    """Compare the bearer token with all accepted ones, in constant time."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    shown = credentials.strip().encode()
    matches = [hmac.compare_digest(shown, token) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)


def _error(code: int, details: str = "") -> JSONResponse:
    status, body = error_response(code, details)
    return JSONResponse(body, status)
