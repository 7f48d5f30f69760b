"""Receives spans (OTLP over HTTP) and stores them in VictoriaLogs, one log entry per span.

It is mounted into a pod of the services image as a file: it imports the standard library and the packages of
OpenTelemetry only. What VictoriaLogs does not accept is answered with 503, after which the sender repeats it.
"""

from __future__ import annotations

import gzip
import json
import os
import ssl
import sys
import threading
import urllib.request
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.components.observability.pod_programs import https_server

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACES_PATH = "/v1/traces"
MAX_BODY_BYTES = 8 * 1024 * 1024
STORE_TIMEOUT_SECONDS = 5.0
_INSERT_PATH = "/insert/jsonline?_stream_fields=store,service&_time_field=_time&_msg_field=_msg"
_STATUS = ("unset", "ok", "error")
_KIND = ("unspecified", "internal", "server", "client", "producer", "consumer")


def span_entries(request: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401 - a message without types
    """Yield the log entry of each span of a request.

    Args:
        request: an `ExportTraceServiceRequest`.
    """
    for resource_spans in request.resource_spans:
        resource = dict(_attributes(resource_spans.resource.attributes))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _entry(span, resource)


def _entry(span: Any, resource: dict[str, str]) -> dict[str, str]:  # noqa: ANN401 - same
    entry = {
        "_time": str(span.start_time_unix_nano),
        "_msg": span.name,
        "store": "spans",
        "service": resource.get("service.name", "unknown"),
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "kind": _KIND[span.kind] if span.kind < len(_KIND) else _KIND[0],
        "start_ns": str(span.start_time_unix_nano),
        "duration_ns": str(max(span.end_time_unix_nano - span.start_time_unix_nano, 0)),
        "status": _STATUS[span.status.code] if span.status.code < len(_STATUS) else _STATUS[0],
        "status_message": span.status.message,
        "links": ",".join(link.trace_id.hex() for link in span.links),
    }
    attributes = {**resource, **dict(_attributes(span.attributes))}
    entry |= {f"attribute.{name}": value for name, value in attributes.items()}
    # An empty value is the same as no field.
    return {name: value for name, value in entry.items() if value}


def _attributes(values: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - same
    for item in values:
        kind = item.value.WhichOneof("value")
        if kind == "array_value":
            yield item.key, ",".join(value.string_value for value in item.value.array_value.values)
        elif kind is not None:
            value = getattr(item.value, kind)
            yield item.key, str(value).lower() if kind == "bool_value" else str(value)


class SpanStore:
    """VictoriaLogs, as the receiver uses it, and what it has counted.

    Args:
        url: URL of VictoriaLogs.
        password: password of the layer.
        context: TLS settings; None for plain HTTP.
    """

    def __init__(self, url: str, password: str, context: ssl.SSLContext | None) -> None:
        self._headers = {
            "Authorization": https_server.login(password),
            "Content-Type": "application/stream+json",
        }
        self._url = url + _INSERT_PATH
        self._context = context
        self._lock = threading.Lock()
        self.stored = self.rejected = 0

    def write(self, entries: list[dict[str, str]]) -> None:
        """Store entries.

        Raises:
            OSError: VictoriaLogs does not accept them.
        """
        body = "\n".join(map(json.dumps, entries)).encode()
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310 - the URL is a setting
        try:
            with urllib.request.urlopen(  # noqa: S310 - same
                request, timeout=STORE_TIMEOUT_SECONDS, context=self._context
            ):
                self._count(stored=len(entries))
        except OSError:
            self._count(rejected=len(entries))
            raise

    def _count(self, *, stored: int = 0, rejected: int = 0) -> None:
        with self._lock:
            self.stored += stored
            self.rejected += rejected

    def metrics(self) -> str:
        """Return the counters in the text format of Prometheus."""
        return (
            "# TYPE esq_spans_stored_total counter\n"
            f"esq_spans_stored_total {self.stored}\n"
            "# TYPE esq_spans_rejected_total counter\n"
            f"esq_spans_rejected_total {self.rejected}\n"
        )


class Handler(https_server.Handler):
    """Handler of requests.

    Attributes:
        store: where spans go.
    """

    store: SpanStore

    def metrics(self) -> str:
        """See `https_server.Handler`."""
        return self.store.metrics()

    def receive(self) -> HTTPStatus:
        """Store the spans of a request."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != TRACES_PATH:
            return HTTPStatus.NOT_FOUND
        if length > MAX_BODY_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = self.rfile.read(length)
        try:
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            entries = list(span_entries(ExportTraceServiceRequest.FromString(body)))
        except (DecodeError, OSError, EOFError, zlib.error):
            return HTTPStatus.BAD_REQUEST
        return self._store(entries)

    def _store(self, entries: list[dict[str, str]]) -> HTTPStatus:
        try:
            if entries:
                self.store.write(entries)
        except OSError as error:
            sys.stderr.write(f"{len(entries)} spans are not stored: {error}\n")
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK


def main() -> None:
    """Serve until terminated."""
    context = ssl.create_default_context(cafile=str(https_server.files() / "ca.crt"))
    Handler.store = SpanStore(os.environ["ESQ_LOGS_URL"], https_server.password(), context)
    https_server.serve(Handler)


if __name__ == "__main__":
    main()
