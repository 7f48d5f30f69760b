"""Stores what Alertmanager sends: `POST /` stores a notification, `GET /` returns all alerts, newest last.

One JSON line per alert and notification. The file has at most `MAX_RECORDS` lines; the oldest are dropped.
Run it as `alert_receiver.py ADDRESS PORT FILE`.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_RECORDS = 2000
MAX_BODY_BYTES = 1024 * 1024
MAX_RECORD_CHARACTERS = 4000
REQUEST_TIMEOUT_SECONDS = 10.0


class Records:
    """The stored alerts, in memory and in a file that survives a restart.

    Args:
        file: the file; its last lines are read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._lines = deque(lines, maxlen=MAX_RECORDS)
        self._appended = len(lines)

    def add(self, notification: dict[str, object]) -> None:
        """Store the alerts of a notification with the time of its arrival."""
        alerts = notification["alerts"]
        if not isinstance(alerts, list):
            raise TypeError("alerts is no list")
        lines = [_record(alert) for alert in alerts]
        with self._lock:
            self._lines.extend(lines)
            self._appended += len(lines)
            if self._appended >= 2 * MAX_RECORDS:
                self._rewrite()
            else:
                with self._file.open("a", encoding="utf-8") as output:
                    output.writelines(f"{line}\n" for line in lines)

    def text(self) -> str:
        """Return all records, one JSON object per line."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines)

    def _rewrite(self) -> None:
        new_file = self._file.with_suffix(".new")
        new_file.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        new_file.replace(self._file)
        self._appended = len(self._lines)


def _record(alert: dict[str, object]) -> str:
    record: dict[str, object] = {"received_at": round(time.time(), 3)}
    record |= {name: alert[name] for name in ("status", "labels", "annotations", "startsAt", "endsAt")}
    line = json.dumps(record)
    if len(line) > MAX_RECORD_CHARACTERS:
        return json.dumps({**record, "annotations": {}})
    return line


def make_server(address: str, port: int, file: Path) -> ThreadingHTTPServer:
    """Return the server; the caller starts it.

    Args:
        address: address that it listens on.
        port: its port.
        file: file of the records.
    """
    records = Records(file)

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            self._answer(200, records.text())

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            if not 0 < size <= MAX_BODY_BYTES:
                self._answer(413, "the body is empty or too large\n")
                return
            try:
                records.add(json.loads(self.rfile.read(size)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._answer(400, f"not a notification of Alertmanager: {error!r}\n")
                return
            self._answer(200, "")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no line per request."""

    return ThreadingHTTPServer((address, port), Handler)


if __name__ == "__main__":
    # The first process of a container is terminated only by signals that it handles.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    make_server(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).serve_forever()
