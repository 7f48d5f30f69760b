"""Middleware that runs each request in the caller's trace, or in a new one, and measures it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, StatusCode

from services.contracts import telemetry
from services.contracts.endpoints import LIVENESS_PATH, METRICS_PATH, READINESS_PATH
from services.contracts.telemetry import Attribute
from services.kit.observability import tracing
from services.kit.observability.metrics import gauge, histogram

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DURATION = histogram(telemetry.HTTP_REQUEST_DURATION)
IN_FLIGHT = gauge(telemetry.HTTP_IN_FLIGHT)
UNMEASURED_PATHS = frozenset({LIVENESS_PATH, READINESS_PATH, METRICS_PATH})
SCOPE_KEY = "esq.traceparent"
"""Key of the trace in the scope, for handlers that run outside of this middleware."""
SERVER_ERROR = 500
_TRACEPARENT = tracing.TRACEPARENT_HEADER.encode()
UNKNOWN_ROUTE = "unknown"
"""Route of a request that no route matches: its path has any number of values."""


class TelemetryMiddleware:
    """Measures requests, except health checks and scrapes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request."""
        if scope["type"] != "http" or scope["path"] in UNMEASURED_PATHS:
            await self._app(scope, receive, send)
            return
        traceparent = dict(scope["headers"]).get(_TRACEPARENT, b"").decode("latin-1")
        method = scope["method"]
        with tracing.span(
            method, traceparent, kind=SpanKind.SERVER, attributes={Attribute.METHOD: method}
        ) as span:
            scope[SCOPE_KEY] = tracing.current_traceparent()
            await self._measure(span, scope, receive, send)

    async def _measure(self, span: Span, scope: Scope, receive: Receive, send: Send) -> None:
        status, started_at = SERVER_ERROR, time.perf_counter()

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, observe)
        finally:
            IN_FLIGHT.dec()
            duration = time.perf_counter() - started_at
            DURATION.labels(scope["method"], route_of(scope), f"{status // 100}xx").observe(duration)
            if span.is_recording():
                _describe(span, scope, status)


def _describe(span: Span, scope: Scope, status: int) -> None:
    """Name the span by its route, which is known by now, and add the status."""
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes({Attribute.ROUTE: route, Attribute.STATUS: status})
    if status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def route_of(scope: Scope) -> str:
    """Return the path of the route that matched the request, with its parameters as names."""
    return getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
