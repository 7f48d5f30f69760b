"""Traces: the W3C context of the current work, and spans of OpenTelemetry.

All work has a trace id, which is in its log lines, events and error bodies. It is the context of a caller, of
a stored row or of an event; work that nobody caused starts a trace. Spans are recorded only where a tracer is
set (`span_export`), and only in sampled traces: whoever starts a trace decides, and all others follow.

A batch that several traces caused belongs to none of them. It has a trace of its own, with links to those
that are sampled, and is sampled if there are any.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from services.contracts.telemetry import Attribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span, Tracer

    Attributes = Mapping[Attribute, str | int]

TRACEPARENT_HEADER = "traceparent"
"""Header name in HTTP and in Kafka."""
NANOSECONDS = 1_000_000_000
MAX_LINKS = 32
"""Links of a batch; further traces are not linked."""
_FORMAT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""Version, trace id, parent id, flags; a later version may append fields (W3C Trace Context, 3.2 and 4)."""


class _Recorder:
    """What records the spans of this process; nothing does without a tracer."""

    tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Record spans with this tracer; None stops that."""
    _Recorder.tracer = tracer


def parse(traceparent: str) -> SpanContext:
    """Parse a `traceparent` value; an invalid one gives the invalid context, as the standard says."""
    match = _FORMAT.fullmatch(traceparent)
    if match is None:
        return INVALID_SPAN_CONTEXT
    trace_id, span_id, flags = (int(part, 16) for part in match.groups()[:3])
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def is_sampled(traceparent: str) -> bool:
    """Return whether the spans of a trace are recorded."""
    return parse(traceparent).trace_flags.sampled


def current_trace_id() -> str:
    """Return the id of the current trace; empty when there is none."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def current_traceparent() -> str:
    """Return the `traceparent` value of the current span; empty when there is none."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_headers() -> dict[str, str]:
    """Return the header that carries the current trace; none without a trace."""
    traceparent = current_traceparent()
    return {TRACEPARENT_HEADER: traceparent} if traceparent else {}


@contextmanager
def span(
    name: str,
    parent: str | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """Run the block in a span.

    Args:
        name: name of the span.
        parent: `traceparent` value that caused the work, empty or invalid for none: the block then starts a
            trace. None means the current span.
        kind: kind of the span.
        attributes: attributes of the span.

    Yields:
        The span; it records nothing unless its trace is sampled.
    """
    cause = get_current_span().get_span_context() if parent is None else parse(parent)
    with _current(_start(name, cause, kind, attributes)) as started:
        yield started


@contextmanager
def batch_span(
    name: str,
    traceparents: Iterable[str],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """Run the block in the trace that caused the whole batch, or in one of its own with links.

    Args:
        name: name of the span.
        traceparents: `traceparent` values of the parts; empty for parts without a trace.
        kind: kind of the span.
        attributes: attributes of the span.

    Yields:
        The span.
    """
    causes = [parse(traceparent) for traceparent in dict.fromkeys(traceparents)]
    if len({cause.trace_id for cause in causes}) == 1:
        started = _start(name, causes[0], kind, attributes, _links(causes[1:]))
    elif links := _links(causes):
        started = _start(name, INVALID_SPAN_CONTEXT, kind, attributes, links)
    else:
        started = NonRecordingSpan(_new_context())
    with _current(started):
        yield started


@contextmanager
def resumed(traceparent: str) -> Iterator[None]:
    """Run the block in the context of a span that has ended."""
    token = attach(_context_of(parse(traceparent)))
    try:
        yield
    finally:
        detach(token)


@contextmanager
def client_span(method: str, server: str) -> Iterator[Span]:
    """Run an HTTP call in a span of its own, if the current trace is sampled.

    Args:
        method: HTTP method.
        server: host name of the server.

    Yields:
        The span.
    """
    if not get_current_span().is_recording():
        yield get_current_span()
        return
    attributes = {Attribute.METHOD: method, Attribute.SERVER: server}
    with span(method, kind=SpanKind.CLIENT, attributes=attributes) as started:
        yield started


def record_span(name: str, parent: str, seconds: float, attributes: Attributes | None = None) -> None:
    """Record a span of work that ends now, with a link to the current span.

    Args:
        name: name of the span.
        parent: `traceparent` value that caused it.
        seconds: its duration.
        attributes: attributes of the span.
    """
    cause, now = parse(parent), time.time_ns()
    if _Recorder.tracer is None or not cause.trace_flags.sampled:
        return
    finished = _Recorder.tracer.start_span(
        name,
        _context_of(cause),
        attributes=_plain(attributes),
        links=_links([get_current_span().get_span_context()]),
        start_time=now - int(seconds * NANOSECONDS),
    )
    finished.end(now)


def _start(
    name: str,
    cause: SpanContext,
    kind: SpanKind,
    attributes: Attributes | None,
    links: Sequence[Link] = (),
) -> Span:
    """Start a span. What is not recorded keeps the ids of its cause, and costs next to nothing."""
    if cause.is_valid and not cause.trace_flags.sampled:
        return NonRecordingSpan(cause)
    if _Recorder.tracer is None:
        return NonRecordingSpan(cause if cause.is_valid else _new_context())
    return _Recorder.tracer.start_span(name, _context_of(cause), kind, _plain(attributes), links)


@contextmanager
def _current(started: Span) -> Iterator[Span]:
    """Make a span the current one for the block, and end it. The text of an error may be private."""
    token = attach(set_span_in_context(started))
    try:
        yield started
    except Exception as error:
        started.set_attribute(Attribute.ERROR, type(error).__qualname__)
        started.set_status(StatusCode.ERROR)
        raise
    finally:
        detach(token)
        started.end()


def _plain(attributes: Attributes | None) -> dict[str, str | int]:
    return {str(name): value for name, value in (attributes or {}).items()}


def _context_of(cause: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(cause), Context())


def _links(causes: Iterable[SpanContext]) -> list[Link]:
    sampled = [Link(cause) for cause in causes if cause.is_valid and cause.trace_flags.sampled]
    return sampled[:MAX_LINKS]


def _new_context() -> SpanContext:
    """Return the context of a new trace that is not sampled."""
    trace_id, span_id = random.getrandbits(128) or 1, random.getrandbits(64) or 1
    return SpanContext(trace_id, span_id, is_remote=False)
