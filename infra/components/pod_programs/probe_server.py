"""Serves the kubelet's probes and metrics over HTTPS, as a container beside the probed one.

A kubelet that starts a program in a container spends 100 to 200 ms of CPU time on it each time, whatever the
program does. With Redis, Sentinel and Kafka in three zones that was 7 % of a core, at one probe in 20 to 60
seconds each.

    probe_server.py MODULE CERTIFICATE [KEY]

It answers GET PATH with 200 if the check under that path in MODULE.CHECKS returns None, otherwise with 503
and the problem, and GET /metrics with MODULE.METRICS in the text format of Prometheus. The port is open to
all pods, so it serves TLS with the certificate of the probed server.

Mounted into pods as a file, beside that module: it imports the standard library only.
"""

from __future__ import annotations

import signal
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Checks = Mapping[str, Callable[[], str | None]]
    Metrics = Callable[[], str]

PORT = 8081
METRICS_PATH = "/metrics"
SELF_CHECK_PATH = "/self"
"""Path of the probe of this server itself."""


def request_handler(checks: Checks, metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    """Return a request handler for the given checks.

    Args:
        checks: check by path. A check returns None or a problem; an `OSError` is a problem as well.
        metrics: returns the metrics of the server, also while it does not answer.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            """Answer a probe."""
            if self.path == METRICS_PATH:
                self._respond(HTTPStatus.OK, metrics())
                return
            check = checks.get(self.path)
            if check is None:
                self._respond(HTTPStatus.NOT_FOUND, "")
                return
            try:
                problem = check()
            except OSError as error:
                problem = f"{type(error).__name__}: {error}"
            self._respond(HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK, problem or "")
            if problem:
                sys.stdout.write(f"{self.path}: {problem}\n")
                sys.stdout.flush()

        def _respond(self, status: HTTPStatus, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """See `BaseHTTPRequestHandler`; it logs nothing, because `do_GET` logs problems."""

    return Handler


def main(module: str, certificate: str, key: str | None = None, *, port: int = PORT) -> None:
    """Serve until terminated.

    Args:
        module: name of the module with `CHECKS` and `METRICS`.
        certificate: path of the certificate (PEM).
        key: path of its key; None if it is in the same file.
        port: TCP port.
    """
    # The first process of a container is terminated only by signals that it handles.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    program = import_module(module)
    serve(program.CHECKS, program.METRICS, certificate, key, port=port)


def serve(
    checks: Checks, metrics: Metrics, certificate: str, key: str | None = None, *, port: int = PORT
) -> None:
    """Serve until the process ends; checks may run concurrently.

    Args:
        checks: see `request_handler`.
        metrics: same.
        certificate: path of the certificate (PEM).
        key: path of its key; None if it is in the same file.
        port: TCP port.
    """
    checks = {SELF_CHECK_PATH: lambda: None, **checks}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("", port), request_handler(checks, metrics))
    # The thread of a request does its handshake: a silent client must not block the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    # The image sets PYTHONSAFEPATH, so that Python does not add the folder of the script.
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
