"""JSON log lines and redaction."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from services.kit.ids import uuid7
from services.kit.observability.json_logging import JsonFormatter, redact


def format_line(message: str, **extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": message, "name": "n", "levelname": "INFO", **extra})
    line = JsonFormatter("contacts").format(record)
    assert "\n" not in line
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_log_line_is_json_with_message_and_extra_fields() -> None:
    identifier = uuid7()
    line = format_line("Planned 5", action="plan", campaign=identifier)
    assert (line["message"], line["action"], line["campaign"]) == ("Planned 5", "plan", str(identifier))
    assert (line["service"], line["level"]) == ("contacts", "info")


@pytest.mark.parametrize(
    "private",
    [
        "+5511987654321",
        "Bearer abc.def-ghi",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "postgresql://role:hunter2@db/esq",
    ],
)
def test_personal_data_and_secrets_are_redacted(private: str) -> None:
    text = redact(f"failed for {private} today")
    assert private not in text
    assert "hunter2" not in text
    assert text.startswith("failed for ")
    assert text.endswith("today")


def test_traceback_is_one_line_and_redacted() -> None:
    try:
        int("+5511987654321x")
    except ValueError:
        line = format_line("Failed", exc_info=sys.exc_info())
    assert "+***" in str(line["error"])
