"""JSON logging: one JSON object per line, with a message for people, an `action` and ids for machines.

Write `log.info("Planned 500 recipients", extra={"action": "plan_campaign", "campaign": id})`. Phone numbers,
message texts and tokens must not be logged; text that looks like a phone number or a token is redacted
anyway.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from services.kit.observability import tracing

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_REDACTIONS = (
    (re.compile(r"\+\d{8,15}"), "+***"),
    (re.compile(r"(?i)bearer\s+[\w.~+/=-]+"), "Bearer ***"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(://[^:/@\s]+:)[^@\s]+@"), r"\1***@"),
)
_VERBOSE_LOGGERS = ("uvicorn", "alembic", "stamina")


def redact(text: str) -> str:
    """Return the text without phone numbers, tokens and passwords in URLs."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time (UTC), level, service, source, message, trace id, fields of `extra`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "source": record.name,
            "message": record.getMessage(),
        }
        if trace_id := tracing.current_trace_id():
            line["trace_id"] = trace_id
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


def configure(service: str, level: str = "INFO") -> None:
    """Send all log records of this process to standard output as JSON lines.

    Args:
        service: name of the service, written on every line.
        level: lowest level that is logged.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
