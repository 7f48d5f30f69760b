"""The trace that work belongs to (W3C Trace Context): from a request by way of outbox and Kafka into logs.

Only the identity is carried, no spans are recorded. It costs a context variable, and whoever adds a recorder
later finds the ids in every record and log line that was written before.
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

HEADER = "traceparent"
"""Name in HTTP and in Kafka."""
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
"""Version, trace, parent, flags; a later version may add to the end (W3C Trace Context, 3.2 and 4)."""
_SAMPLED = "01"


@dataclass(frozen=True)
class Trace:
    """Where in a trace this work stands.

    Attributes:
        trace_id: 32 hexadecimal digits, the same all the way.
        span_id: 16 hexadecimal digits, of this piece of work.
        flags: two hexadecimal digits, handed on as they came.
    """

    trace_id: str
    span_id: str
    flags: str = _SAMPLED

    def __str__(self) -> str:
        """Return it as `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """Return the trace of the work that is being done, if any."""
    return _CURRENT.get()


def traceparent() -> str:
    """Return it as others are told; empty when there is none."""
    return str(_CURRENT.get() or "")


def parse(text: str) -> Trace | None:
    """Read a `traceparent`; None for anything that is none, which the standard says to ignore."""
    found = _FORM.fullmatch(text)
    return Trace(*found.groups()[:3]) if found else None


@contextmanager
def within(text: str) -> Iterator[Trace]:
    """Do the block's work as part of the trace that `text` tells, or of a new one."""
    parent = parse(text)
    trace = Trace(
        parent.trace_id if parent else secrets.token_hex(16),
        secrets.token_hex(8),
        parent.flags if parent else _SAMPLED,
    )
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def shared(texts: Iterable[str]) -> str:
    """Return the one `traceparent` of a batch's events; empty when they belong to several traces."""
    found = set(texts)
    return found.pop() if len(found) == 1 else ""
