"""View of log lines: of a trace, or with some words."""

from __future__ import annotations

import datetime as dt
import heapq
import json
from typing import TYPE_CHECKING

from cli.actions.pod_logs import LogLine
from cli.operations_page.rendering import render
from cli.operations_page.waterfall import TRACE_ID
from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.operations_page.telemetry import Telemetry

MAX_LINES = 200
MAX_AGE = dt.timedelta(days=1)
POD_LOGS_AGE = dt.timedelta(hours=1)
"""Age of lines that are read from the pods, one by one."""
_SOURCE_FIELDS = ("service", "kubernetes.pod_name", "kubernetes.container_name")


def require_phrase(text: str) -> str:
    """Return a text without blanks around it.

    Raises:
        UsageError: nothing remains.
    """
    if not text.strip():
        raise UsageError("no text to search for", remedy="Enter a trace id or words of a log line.")
    return text.strip()


def logs_query(text: str) -> str:
    """Return the LogsQL that finds lines of a trace, or with the words of a text in their order.

    Raises:
        UsageError: the text is empty.
    """
    phrase = require_phrase(text)
    quoted = json.dumps(phrase)
    if TRACE_ID.fullmatch(phrase):
        return f'(trace_id:={quoted} or _msg:{quoted}) !store:="spans"'
    return f'_msg:{quoted} !store:="spans"'


def search_logs(telemetry: Telemetry, text: str, now: dt.datetime) -> str:
    """Return the HTML of the newest matching lines.

    Args:
        telemetry: source of the logs.
        text: trace id, or words.
        now: current time (UTC).
    """
    entries = telemetry.logs_query(logs_query(text), MAX_LINES, now - MAX_AGE)
    return _logs_html([_line(entry) for entry in entries], MAX_AGE, "")


def search_lines(lines: Iterable[LogLine], text: str) -> str:
    """Return the HTML of the newest matching lines of an environment without an observability layer.

    Args:
        lines: lines of its pods, not older than `POD_LOGS_AGE`.
        text: trace id, or words.
    """
    phrase = require_phrase(text)
    matching = (line for line in lines if line.trace_id == phrase or phrase in line.message)
    newest = heapq.nlargest(MAX_LINES, matching, key=lambda line: line.at)
    return _logs_html(newest, POD_LOGS_AGE, "no observability layer: only lines of the present pods")


def _logs_html(lines: Sequence[LogLine], age: dt.timedelta, notice: str) -> str:
    hours = round(age.total_seconds() / 3600)
    is_limited = len(lines) >= MAX_LINES
    return render("logs", rows=lines, is_limited=is_limited, limit=MAX_LINES, hours=hours, notice=notice)


def _line(entry: Mapping[str, str]) -> LogLine:
    return LogLine(
        source=next((entry[name] for name in _SOURCE_FIELDS if entry.get(name)), ""),
        level=entry.get("level", ""),
        message=entry.get("_msg", ""),
        at=entry.get("_time", ""),
        trace_id=entry.get("trace_id", ""),
    )
