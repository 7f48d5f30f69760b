"""View of log lines: of a trace, or with some words."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.operations_page.rendering import render
from cli.operations_page.waterfall import TRACE_ID
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.operations_page.telemetry import Telemetry

MAX_LINES = 200
MAX_AGE = dt.timedelta(days=1)
_SOURCE_FIELDS = ("service", "kubernetes.pod_name", "kubernetes.container_name")


@dataclass(frozen=True)
class LogRow:
    """A line of a log.

    Attributes:
        at: its time, as its source writes it.
        source: the service or pod that wrote it.
        level: its level; empty if the line has none.
        message: its text.
        trace_id: id of its trace; empty if the line has none.
    """

    at: str
    source: str
    level: str
    message: str
    trace_id: str


def logs_query(text: str) -> str:
    """Return the LogsQL that finds lines of a trace, or with the words of a text in their order.

    Raises:
        UsageError: the text is empty.
    """
    phrase = text.strip()
    if not phrase:
        raise UsageError("no text to search for", remedy="Enter a trace id or words of a log line.")
    quoted = json.dumps(phrase)
    if TRACE_ID.fullmatch(phrase):
        return f'(trace_id:={quoted} or _msg:{quoted}) !{{store="spans"}}'
    return f'_msg:{quoted} !{{store="spans"}}'


def search_logs(telemetry: Telemetry, text: str, now: dt.datetime) -> str:
    """Return the HTML of the newest matching lines.

    Args:
        telemetry: source of the logs.
        text: trace id, or words.
        now: current time (UTC).
    """
    entries = telemetry.logs_query(logs_query(text), MAX_LINES, now - MAX_AGE)
    return logs_html([_row(entry) for entry in entries])


def logs_html(rows: Sequence[LogRow]) -> str:
    """Return the HTML of log lines."""
    hours = round(MAX_AGE.total_seconds() / 3600)
    return render("logs", rows=rows, is_limited=len(rows) >= MAX_LINES, limit=MAX_LINES, hours=hours)


def _row(entry: Mapping[str, str]) -> LogRow:
    source = next((entry[name] for name in _SOURCE_FIELDS if entry.get(name)), "")
    return LogRow(
        at=entry.get("_time", ""),
        source=source,
        level=entry.get("level", ""),
        message=entry.get("_msg", ""),
        trace_id=entry.get("trace_id", ""),
    )
