"""Spans as they are stored in VictoriaLogs; `pod_programs/span_receiver.py` writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTE_PREFIX = "attribute."
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Span:
    """A span of a trace.

    Attributes:
        trace_id: id of the trace, 32 hexadecimal digits.
        span_id: id of the span, 16 hexadecimal digits.
        parent_id: id of the parent span; empty for the root.
        name: what was done.
        service: service that did it.
        started_at: start, seconds since 1970 (UTC).
        seconds: duration in seconds.
        status: `unset`, `ok` or `error`.
        attributes: attributes of the span, as text.
        links: ids of the traces that it is linked to.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    started_at: float
    seconds: float
    status: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()


def parse_span(entry: Mapping[str, str]) -> Span:
    """Return the span of a log entry.

    Raises:
        KeyError: the entry is no span.
    """
    return Span(
        trace_id=entry["trace_id"],
        span_id=entry["span_id"],
        parent_id=entry.get("parent_span_id", ""),
        name=entry["_msg"],
        service=entry["service"],
        started_at=int(entry["start_ns"]) / _NANOSECONDS,
        seconds=int(entry["duration_ns"]) / _NANOSECONDS,
        status=entry["status"],
        attributes={
            name.removeprefix(ATTRIBUTE_PREFIX): value
            for name, value in entry.items()
            if name.startswith(ATTRIBUTE_PREFIX)
        },
        links=tuple(filter(None, entry.get("links", "").split(","))),
    )
