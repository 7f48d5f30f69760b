"""Raw logs of the streams of a run, compressed beside its report: its statistics can be computed again."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_ATTEMPTS = 50_000
"""Acknowledged attempts of a stream that are kept: 2 h 45 min at five per second."""


def write_stream_logs(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result of a traffic process, owner-only.

    Args:
        path: file to write.
        result: logs by stream, stored writes by stream, and problems.
    """
    streams = {name: _bounded(log) for name, log in result["streams"].items()}
    stored = {name: list(numbers)[:MAX_ATTEMPTS] for name, numbers in result["stored"].items()}
    text = json.dumps({**result, "streams": streams, "stored": stored})
    path.touch(mode=0o600)
    path.write_bytes(gzip.compress(text.encode()))


def read_stream_logs(path: Path) -> dict[str, Any]:
    """Return what `write_stream_logs` has written."""
    return dict(json.loads(gzip.decompress(path.read_bytes())))


def _bounded(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return a log with its first attempts, and the number of those that are left out."""
    acked = log["acked"]
    return {**log, "acked": acked[:MAX_ATTEMPTS], "omitted": max(0, len(acked) - MAX_ATTEMPTS)}
