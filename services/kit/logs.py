"""Logs: one JSON object per line, a sentence for people, an `action` and ids for machines.

Write `log.info("Planned 500 recipients", extra={"action": "plan", "campaign": id})`. Phone numbers, message
bodies and tokens do not belong there; what looks like a number or a token is struck out all the same.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from services.kit import trace

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_PRIVATE = (
    (re.compile(r"\+\d{8,15}"), "+***"),
    (re.compile(r"(?i)bearer\s+[\w.~+/=-]+"), "Bearer ***"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(://[^:/@\s]+:)[^@\s]+@"), r"\1***@"),
)
_NOISY = ("uvicorn", "alembic", "stamina")


def strike_out(text: str) -> str:
    """Return the text without what looks like a phone number, a token or a password in a URL."""
    for pattern, instead in _PRIVATE:
        text = pattern.sub(instead, text)
    return text


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time (UTC), level, service, source, message, trace, then what `extra` gave."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "source": record.name,
            "message": record.getMessage(),
        }
        if belongs := trace.current():
            line["trace_id"] = belongs.trace_id
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return strike_out(json.dumps(line, default=str, ensure_ascii=False))


def configure(service: str, level: str = "INFO") -> None:
    """Send every log record of this process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
