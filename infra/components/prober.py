"""Answers a kubelet's probes over HTTP: a container of its own beside what is probed. Run as a program there.

A kubelet that starts a program in a container spends 100 to 200 ms of a core on it each time, whatever the
program does: with Redis, its Sentinel and Kafka in three zones that was 7 % of a core all day, at a question
in 20 to 60 seconds each.

    prober.py MODULE    answers GET PATH with 200 when the question under that path in MODULE.QUESTIONS
                        finds no reason against it, else with 503 and the reason

Shipped into pods as a file, beside that module: the standard library only.
"""

from __future__ import annotations

import signal
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Questions = Mapping[str, Callable[[], str | None]]

PORT = 8081
SELF = "/self"
"""Where the prober answers for itself."""


def handler(questions: Questions) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests by `questions`, which stand under their paths.

    Each returns None for yes, or why not; an `OSError` is a no as well.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            """Answer a probe."""
            question = questions.get(self.path)
            if question is None:
                self._answer(HTTPStatus.NOT_FOUND, "")
                return
            try:
                reason = question()
            except OSError as error:
                reason = f"{type(error).__name__}: {error}"
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or "")
            if reason:
                sys.stdout.write(f"{self.path}: {reason}\n")
                sys.stdout.flush()

        def _answer(self, status: HTTPStatus, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing: what is not well is told above."""

    return Handler


def main(module: str, port: int = PORT) -> None:
    """Answer until ended; questions may be asked side by side."""
    # The first process of a container is only ended by what it has a handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    questions: Questions = {SELF: lambda: None, **import_module(module).QUESTIONS}
    ThreadingHTTPServer(("", port), handler(questions)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
