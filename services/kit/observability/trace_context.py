"""W3C Trace Context: carries the trace id from a request through outbox and Kafka into the logs.

Only the identity is propagated; no spans are recorded. It costs one context variable. A span recorder that is
added later finds the ids in all records and log lines written before.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRACEPARENT_HEADER = "traceparent"
"""Header name in HTTP and in Kafka."""
_FORMAT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""Version, trace id, parent id, flags; a later version may append fields (W3C Trace Context, 3.2 and 4)."""
_SAMPLED = "01"


@dataclass(frozen=True)
class TraceContext:
    """Position of the current work in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits, the same in the whole trace.
        span_id: 16 hexadecimal digits, of this unit of work.
        flags: two hexadecimal digits, propagated unchanged.
    """

    trace_id: str
    span_id: str
    flags: str = _SAMPLED

    def __str__(self) -> str:
        """Return the `traceparent` value."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_CURRENT: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current_trace() -> TraceContext | None:
    """Return the current trace context; None without one."""
    return _CURRENT.get()


def current_traceparent() -> str:
    """Return the current `traceparent` value; empty when there is no trace."""
    return str(_CURRENT.get() or "")


def parse(text: str) -> TraceContext | None:
    """Parse a `traceparent` value; return None for an invalid one, which the standard says to ignore."""
    match = _FORMAT.fullmatch(text)
    return TraceContext(*match.groups()[:3]) if match else None


@contextmanager
def trace_scope(text: str) -> Iterator[TraceContext]:
    """Run the block in the trace of the `traceparent` value `text`, or in a new trace."""
    parent = parse(text)
    trace = TraceContext(
        parent.trace_id if parent else secrets.token_hex(16),
        secrets.token_hex(8),
        parent.flags if parent else _SAMPLED,
    )
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def common_traceparent(texts: Iterable[str]) -> str:
    """Return the `traceparent` that all values share; empty when they differ."""
    distinct_values = set(texts)
    return distinct_values.pop() if len(distinct_values) == 1 else ""
