"""Middleware that runs each request in the caller's trace, or in a new one, and measures it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.contracts.endpoints import LIVENESS_PATH, METRICS_PATH, READINESS_PATH
from services.kit.observability import trace_context
from services.kit.observability.metrics import gauge, histogram

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DURATION = histogram(telemetry.HTTP_REQUEST_DURATION)
IN_FLIGHT = gauge(telemetry.HTTP_IN_FLIGHT)
UNMEASURED_PATHS = frozenset({LIVENESS_PATH, READINESS_PATH, METRICS_PATH})
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
        traceparent = dict(scope["headers"]).get(trace_context.TRACEPARENT_HEADER.encode(), b"")
        with trace_context.trace_scope(traceparent.decode("latin-1")):
            await self._measure(scope, receive, send)

    async def _measure(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, started_at = 500, time.perf_counter()

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


def route_of(scope: Scope) -> str:
    """Return the path of the route that matched the request, with its parameters as names."""
    return getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
