"""A collector of traces on a free loopback port: receives OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATH = "/v1/traces"


@dataclass(frozen=True)
class CollectedSpan:
    """A received span.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: the same of its parent; empty for a root.
        name: name of the span.
        attributes: its attributes.
        resource: attributes of its process.
        links: trace ids of its links.
        seconds: its duration.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: tuple[str, ...]
    seconds: float


class Collector:
    """Keeps what it receives.

    Attributes:
        spans: received spans.
        logins: value of the header `Authorization` of each request.
        status: status of its responses; spans of a request that is not answered with 200 are ignored.
        answers: cleared to leave requests without a response until it is set.
    """

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.logins: list[str | None] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        """Start it."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.logins.append(self.headers["Authorization"])
                collector.answers.wait(60)
                if self.path == PATH and collector.status == 200:
                    collector.spans += parse(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="collector", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.answers.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


def parse(body: bytes) -> Iterator[CollectedSpan]:
    """Return the spans of a request."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(group.resource.attributes)
        for span in (span for scope in group.scope_spans for span in scope.spans):
            yield CollectedSpan(
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.name,
                _attributes(span.attributes),
                resource,
                tuple(link.trace_id.hex() for link in span.links),
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
