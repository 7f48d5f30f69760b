"""View of a trace: its spans in a tree, each with a bar from its start to its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.rendering import render
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.components.observability.spans import Span

TRACE_ID = re.compile(r"[0-9a-f]{32}")
MAX_ROWS = 500
_MAX_DEPTH = 6
"""Deeper spans are not indented further."""
_BAR_WIDTH = 1000
_MIN_WIDTH = 4


@dataclass(frozen=True)
class WaterfallRow:
    """A span in the waterfall.

    Attributes:
        span: the span.
        depth: number of its ancestors, up to a limit.
        offset_seconds: time since the start of the trace.
        x: position of its bar, of `_BAR_WIDTH`.
        width: width of its bar.
    """

    span: Span
    depth: int
    offset_seconds: float
    x: int
    width: int

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.span.status == "error"


def require_trace_id(text: str) -> str:
    """Return a trace id in lower case.

    Raises:
        UsageError: the text is none.
    """
    if not TRACE_ID.fullmatch(text.lower()):
        raise UsageError(f"`{text}` is no trace id", remedy="A trace id has 32 hexadecimal digits.")
    return text.lower()


def trace_html(trace_id: str, spans: Sequence[Span]) -> str:
    """Return the HTML of a trace.

    Args:
        trace_id: id of the trace.
        spans: its spans.
    """
    rows = waterfall(spans)
    duration = max((row.offset_seconds + row.span.seconds for row in rows), default=0.0)
    services = sorted({span.service for span in spans})
    links = sorted({link for span in spans for link in span.links if link != trace_id})
    return render(
        "trace",
        trace_id=trace_id,
        rows=rows[:MAX_ROWS],
        count=len(rows),
        duration=duration,
        services=services,
        links=links,
        failed=sum(row.failed for row in rows),
    )


def waterfall(spans: Sequence[Span]) -> list[WaterfallRow]:
    """Return the rows of a trace: each span after its parent, siblings by start.

    A span whose parent is missing, because it was not stored, is a root.
    """
    if not spans:
        return []
    ordered = sorted(spans, key=lambda span: span.started_at)
    origin = ordered[0].started_at
    total = max(span.started_at + span.seconds for span in ordered) - origin or 1.0
    return [_row(span, depth, origin, total) for span, depth in _in_order(ordered)]


def _in_order(spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    ids = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in ids - {span.span_id} else "", []).append(span)
    visited: set[str] = set()
    # Spans that are their own ancestors have no root: they come last, so that nothing is missing.
    stack = [(span, 0) for span in (*reversed(spans), *reversed(children.get("", [])))]
    while stack:
        span, depth = stack.pop()
        if span.span_id not in visited:
            visited.add(span.span_id)
            yield span, depth
            stack += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]


def _row(span: Span, depth: int, origin: float, total: float) -> WaterfallRow:
    offset = span.started_at - origin
    x = round(_BAR_WIDTH * offset / total)
    width = max(round(_BAR_WIDTH * span.seconds / total), _MIN_WIDTH)
    return WaterfallRow(span, min(depth, _MAX_DEPTH), offset, min(x, _BAR_WIDTH - _MIN_WIDTH), width)
