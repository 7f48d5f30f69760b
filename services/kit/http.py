"""The HTTP face of a process: health, metrics, errors as problem+json (RFC 9457), bounded bodies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.contracts.ports import HEALTH_PATH, LIVE_PATH
from services.kit import trace
from services.kit.errors import BusyError, ServiceError, TemporaryError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import APIRouter
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.kit.auth import Tokens
    from services.kit.health import Health

BODY_BYTES = 1 << 20
"""Largest body where nothing else is said."""
NO_NUL = r"^[^\x00]*$"
"""Of what goes into a database, which takes no NUL."""
IdempotencyKey = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=200)]
"""What a caller names a request by, so that repeating it makes nothing twice."""
log = logging.getLogger(__name__)


def create_app(
    title: str,
    health: Health,
    *,
    routers: Sequence[APIRouter] = (),
    tokens: Tokens | None = None,
    body_bytes: Mapping[str, int] | None = None,
) -> FastAPI:
    """Build the application of a process.

    Args:
        title: of the OpenAPI document.
        health: what readiness asks.
        routers: the addresses of the domain; a worker has none.
        tokens: what bearer tokens are read with, where addresses need them.
        body_bytes: path to the largest body it takes, where that is not 1 MiB.
    """
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    app.state.tokens = tokens
    for router in routers:
        app.include_router(router)
    _add_health(app, health)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _defect)
    app.add_middleware(BodyLimit, limits=dict(body_bytes or {}))
    app.add_middleware(Traced)
    return app


def problem(status: int, title: str, detail: str, **more: object) -> JSONResponse:
    """Answer with an RFC 9457 document."""
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(content, status, media_type="application/problem+json")


def _add_health(app: FastAPI, health: Health) -> None:
    """Offer liveness, readiness and metrics, outside the OpenAPI document."""

    async def live() -> dict[str, str]:
        return {"status": "live"}

    async def ready() -> JSONResponse:
        reasons = await health.reasons()
        if reasons:
            return problem(503, "Not ready", "; ".join(reasons.values()), reasons=reasons)
        degraded = await health.degraded()
        return JSONResponse({"status": "degraded", "reasons": degraded} if degraded else {"status": "ready"})

    async def metrics() -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415 - first scrape loads it

        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, answer in ((LIVE_PATH, live), (HEALTH_PATH, ready), ("/metrics", metrics)):
        app.add_api_route(path, answer, include_in_schema=False, response_model=None)


async def _service_error(_request: Request, error: Exception) -> JSONResponse:
    """Tell the caller what the service refused, and when to try again if that helps."""
    if not isinstance(error, ServiceError):
        raise error
    response = problem(error.status, error.title, str(error))
    if isinstance(error, TemporaryError | BusyError):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    """Give the framework's own refusals the same form."""
    if not isinstance(error, HTTPException):
        raise error
    response = problem(error.status_code, "Refused", str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    """Name every field that is wrong, without repeating what was sent."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    return problem(422, "Not acceptable", "the request does not have the expected form", faults=faults)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the caller left while its body was read. That is no defect of ours."""
    return Response(status_code=499)


async def _defect(request: Request, error: Exception) -> JSONResponse:
    """Log what nobody expected; tell the caller nothing private."""
    log.error(
        "A request failed unexpectedly",
        exc_info=error,
        extra={"action": request.method, "path": request.url.path},
    )
    return problem(500, "Failed", "an unexpected error; it has been logged")


class Traced:
    """Does the work of each request as part of the caller's trace, or of a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        told = dict(scope.get("headers", ())).get(trace.HEADER.encode(), b"")
        with trace.within(told.decode("latin-1")):
            await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies beyond the limit of their path, announced or not, before they fill memory."""

    def __init__(self, app: ASGIApp, limits: dict[str, int]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counted body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], BODY_BYTES)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            await problem(413, TooLargeError.title, f"at most {limit} bytes are taken here")(
                scope, receive, send
            )
            return
        await self._app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    """Count what arrives; raise when it is more than announced or allowed."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLargeError(f"at most {limit} bytes are taken here")
        return message

    return counted
