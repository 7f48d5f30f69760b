"""HTTP application of a process: health, metrics, errors as problem+json (RFC 9457), body size limits."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.contracts.endpoints import LIVENESS_PATH, METRICS_PATH, READINESS_PATH
from services.kit.errors import InvalidError, OverloadedError, ServiceError, TemporaryError, TooLargeError
from services.kit.http.telemetry_middleware import SCOPE_KEY, TelemetryMiddleware
from services.kit.observability import tracing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import APIRouter
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.kit.http.auth import JwtTokens
    from services.kit.observability.health import Health

MAX_BODY_BYTES = 1 << 20
"""Default limit of a request body."""
NO_NUL_PATTERN = r"^[^\x00]*$"
"""For text that is stored in Postgres, which does not accept NUL."""
IdempotencyKey = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=200)]
"""Chosen by the caller per request; repeating the request with the same key has no further effect."""
log = logging.getLogger(__name__)


def create_app(
    title: str,
    health: Health,
    *,
    routers: Sequence[APIRouter] = (),
    tokens: JwtTokens | None = None,
    max_body_bytes: Mapping[str, int] | None = None,
) -> FastAPI:
    """Build the application of a process.

    Args:
        title: title of the OpenAPI document.
        health: health checks that readiness reports.
        routers: routes of the domain; a worker has none.
        tokens: verifies bearer tokens, where routes require them.
        max_body_bytes: path to its body limit in bytes, where it is not 1 MiB.

    Returns:
        The application.
    """
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    app.state.tokens = tokens
    for router in routers:
        app.include_router(router)
    _add_health(app, health)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)
    app.add_exception_handler(Exception, _unexpected_error)
    app.add_middleware(BodyLimitMiddleware, limits=dict(max_body_bytes or {}))
    app.add_middleware(TelemetryMiddleware)
    return app


def problem_response(status: int, title: str, detail: str, **extensions: object) -> JSONResponse:
    """Return a problem details response (RFC 9457) with the id of the current trace.

    Args:
        status: HTTP status code.
        title: short summary of the problem type.
        detail: explanation of this occurrence.
        **extensions: further members of the document.

    Returns:
        The response.
    """
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extensions}
    if trace_id := tracing.current_trace_id():
        content["trace_id"] = trace_id
    return JSONResponse(content, status, media_type="application/problem+json")


def _add_health(app: FastAPI, health: Health) -> None:
    """Add liveness, readiness and metrics, outside the OpenAPI document."""

    async def live() -> dict[str, str]:
        return {"status": "live"}

    async def ready() -> JSONResponse:
        if health.is_stopping:
            # Not 503, after which a load balancer would abort the requests that are still being answered.
            return problem_response(404, "Not Found", "the process is stopping")
        problems = await health.readiness_problems()
        if problems:
            return problem_response(503, TemporaryError.title, "; ".join(problems.values()), reasons=problems)
        degraded = await health.degraded()
        return JSONResponse({"status": "degraded", "reasons": degraded} if degraded else {"status": "ready"})

    async def metrics() -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415 - first scrape loads it

        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in ((LIVENESS_PATH, live), (READINESS_PATH, ready), (METRICS_PATH, metrics)):
        app.add_api_route(path, endpoint, include_in_schema=False, response_model=None)


async def _service_error(_request: Request, error: Exception) -> JSONResponse:
    """Map a `ServiceError` to its status, with `Retry-After` where a retry helps."""
    if not isinstance(error, ServiceError):
        raise error
    response = problem_response(error.status, error.title, str(error))
    if isinstance(error, TemporaryError | OverloadedError):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    """Map the framework's own errors to problem+json."""
    if not isinstance(error, HTTPException):
        raise error
    title = HTTPStatus(error.status_code).phrase
    response = problem_response(error.status_code, title, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    """List every invalid field, without repeating the submitted values."""
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        {"field": ".".join(map(str, details["loc"])), "message": details["msg"]} for details in error.errors()
    ]
    return problem_response(
        InvalidError.status, InvalidError.title, "the request does not match the schema", errors=errors
    )


async def _client_disconnected(_request: Request, _error: Exception) -> Response:
    """Return 499: the client disconnected while its body was read, which is no error of the service."""
    return Response(status_code=499)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """Log the error; return no internal details. The framework calls this outside of all middleware."""
    with tracing.resumed(request.scope.get(SCOPE_KEY, "")):
        log.error(
            "A request failed unexpectedly",
            exc_info=error,
            extra={"action": "handle_request", "method": request.method, "path": request.url.path},
        )
        return problem_response(500, ServiceError.title, "an unexpected error; it has been logged")


class BodyLimitMiddleware:
    """Rejects bodies beyond the limit of their path, announced or streamed, before they fill the memory."""

    def __init__(self, app: ASGIApp, limits: dict[str, int]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request with a counted body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], MAX_BODY_BYTES)
        content_length = dict(scope["headers"]).get(b"content-length", b"0")
        if not content_length.isdigit() or int(content_length) > limit:
            response = problem_response(TooLargeError.status, TooLargeError.title, _too_large(limit))
            await response(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    """Count the received bytes; raise when they exceed the limit."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLargeError(_too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"the body exceeds the limit of {limit} bytes"
