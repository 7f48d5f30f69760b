"""HTTP server of the load tests' own tests."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STALL_SECONDS = 2.0


class StallingServer(http.server.ThreadingHTTPServer):
    """Answers immediately, except during one stall."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.stall_from = float("inf")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class PageHandler(http.server.BaseHTTPRequestHandler):
    """Handler of the only page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, StallingServer)
        since = time.monotonic() - self.server.stall_from
        if 0 <= since < STALL_SECONDS:
            time.sleep(STALL_SECONDS - since)  # the simulated stall
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def handle(self) -> None:
        with suppress(ConnectionError):  # by a worker that a test kills
            super().handle()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def running_server() -> Iterator[StallingServer]:
    """Serve on a port of loopback."""
    with StallingServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
