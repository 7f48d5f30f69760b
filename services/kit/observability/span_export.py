"""Records spans and sends them to a collector by OTLP over HTTP. Imported only where a collector is set.

The queue of finished spans is bounded. Spans that find it full are dropped, and so are those that the
collector does not take in time; both are counted. Nothing here waits for the collector, except the end of the
process, and that briefly.
"""

from __future__ import annotations

import logging
import socket
import threading
from base64 import b64encode
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from services.contracts import telemetry
from services.contracts.telemetry import Attribute
from services.kit.observability import tracing
from services.kit.observability.metrics import counter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import SamplingResult
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

    from services.kit.settings import ProcessSettings

EXPORT_INTERVAL_MILLISECONDS = 1000
EXPORT_TIMEOUT_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 2.0
BATCH_SIZE = 256
PATH, ACCOUNT = "/v1/traces", "esq"
DROPPED = counter(telemetry.SPANS_DROPPED)
EXPORTED = counter(telemetry.SPANS_EXPORTED)
log = logging.getLogger(__name__)


def start_export(process: ProcessSettings) -> Callable[[], None]:
    """Record sampled spans from now on.

    Args:
        process: names the collector, the process and the ratio of sampled traces.

    Returns:
        Function that exports what is left and stops.
    """
    # Its errors are counted here, and logged once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(
        str(process.traces_endpoint).rstrip("/") + PATH,
        certificate_file=str(process.ca_file) if process.ca_file else None,
        headers=_login(process),
        timeout=EXPORT_TIMEOUT_SECONDS,
    )
    provider = TracerProvider(
        sampler=ParentBased(_RatioOrLinks(process.traces_ratio)),
        resource=Resource(resource_attributes(process)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BoundedExport(exporter, process.traces_queue_size))
    tracing.use_tracer(provider.get_tracer("esq"))

    def stop() -> None:
        tracing.use_tracer(None)
        stopping = threading.Thread(target=provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(STOP_TIMEOUT_SECONDS)

    return stop


def _login(process: ProcessSettings) -> dict[str, str]:
    """Return the header of the collector's account, if it has one."""
    if process.traces_password is None:
        return {}
    login = f"{ACCOUNT}:{process.traces_password.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def resource_attributes(process: ProcessSettings) -> dict[str, str]:
    """Return what the spans of this process have in common."""
    attributes = {
        Attribute.SERVICE_NAMESPACE: telemetry.NAMESPACE,
        Attribute.SERVICE_NAME: process.process or process.service,
        Attribute.SERVICE_INSTANCE: process.instance or socket.gethostname(),
        Attribute.ENVIRONMENT: process.environment,
        Attribute.ZONE: process.zone,
    }
    return {str(name): value for name, value in attributes.items() if value}


class _RatioOrLinks(Sampler):
    """Decides about a span without a parent: by a ratio; a batch with links to sampled traces is sampled."""

    def __init__(self, ratio: float) -> None:
        self._by_ratio = TraceIdRatioBased(ratio)

    def should_sample(  # noqa: PLR0913, PLR0917 - the interface of the SDK
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler.should_sample`."""
        sampler = ALWAYS_ON if links else self._by_ratio
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return "RatioOrLinks"


class BoundedExport(SpanProcessor):
    """Passes ended spans to a thread that exports batches. The SDK's own queue never overflows."""

    def __init__(self, exporter: SpanExporter, max_spans: int) -> None:
        """Set up the export.

        Args:
            exporter: sends batches to the collector.
            max_spans: spans that wait for their export or are being exported.
        """
        self._waiting = 0
        self._max_spans = max_spans
        self._lock = threading.Lock()
        self._batches = BatchSpanProcessor(
            _CountedExporter(exporter, self._on_exported),
            max_queue_size=max_spans,
            schedule_delay_millis=EXPORT_INTERVAL_MILLISECONDS,
            max_export_batch_size=min(BATCH_SIZE, max_spans),
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Pass on a span, or drop it."""
        with self._lock:
            is_full = self._waiting >= self._max_spans
            self._waiting += not is_full
        if is_full:
            DROPPED.labels("queue_full").inc()
        else:
            self._batches.on_end(span)

    def shutdown(self) -> None:
        """Export what is left."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK forgets its types

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what is waiting."""
        return self._batches.force_flush(timeout_millis)

    def _on_exported(self, count: int) -> None:
        with self._lock:
            self._waiting -= count


class _CountedExporter(SpanExporter):
    """Counts exported and lost spans, and logs when that changes."""

    def __init__(self, exporter: SpanExporter, on_exported: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._on_exported = on_exported
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch."""
        succeeded = False
        try:
            succeeded = self._exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            self._record(len(spans), succeeded=succeeded)
        return SpanExportResult.SUCCESS if succeeded else SpanExportResult.FAILURE

    def _record(self, count: int, *, succeeded: bool) -> None:
        self._on_exported(count)
        (EXPORTED if succeeded else DROPPED.labels("export_failed")).inc(count)
        if succeeded is self._is_failing:
            self._is_failing = not succeeded
            level, message = (
                (logging.INFO, "The collector takes spans again")
                if succeeded
                else (logging.WARNING, "The collector does not take spans")
            )
            log.log(level, message, extra={"action": "export_spans"})

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()
