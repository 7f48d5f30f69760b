"""An HTTPS server for exporters and receivers in pods: all but health needs the password of the layer.

Mounted into pods as a file, beside the program that uses it: it imports the standard library only.
"""

from __future__ import annotations

import base64
import hmac
import os
import signal
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEALTH_PATH, METRICS_PATH = "/health", "/metrics"
ACCOUNT = "esq"


def login(password: str) -> str:
    """Return the header `Authorization` of the account of the layer."""
    return "Basic " + base64.b64encode(f"{ACCOUNT}:{password}".encode()).decode()


class Handler(BaseHTTPRequestHandler):
    """Handler of requests; a program overrides `metrics`, and `receive` if it accepts anything.

    Attributes:
        authorization: header that requests need.
    """

    protocol_version = "HTTP/1.1"
    timeout = 30.0
    authorization: str

    def metrics(self) -> str:
        """Return the metrics in the text format of Prometheus.

        Raises:
            OSError: they cannot be read.
        """
        raise NotImplementedError

    def receive(self) -> HTTPStatus:
        """Handle a POST, whose body is not read yet; return the status of the response."""
        return HTTPStatus.NOT_FOUND

    def do_GET(self) -> None:
        """Answer a probe or a scrape."""
        if self.path == HEALTH_PATH:
            self._respond(HTTPStatus.OK, "OK")
        elif self.path != METRICS_PATH:
            self._respond(HTTPStatus.NOT_FOUND)
        elif self._is_allowed():
            try:
                self._respond(HTTPStatus.OK, self.metrics())
            except OSError as error:
                sys.stderr.write(f"no metrics: {error}\n")
                self._respond(HTTPStatus.SERVICE_UNAVAILABLE)

    def do_POST(self) -> None:
        """Pass a request on to `receive`."""
        # Its body may be left unread.
        self.close_connection = True
        if self._is_allowed():
            self._respond(self.receive())

    def _is_allowed(self) -> bool:
        authorization = self.headers.get("Authorization") or ""
        if hmac.compare_digest(authorization.encode(), self.authorization.encode()):
            return True
        self._respond(HTTPStatus.UNAUTHORIZED)
        return False

    def _respond(self, status: HTTPStatus, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """See `BaseHTTPRequestHandler`; nothing is logged but problems."""


def files() -> Path:
    """Return the folder with the certificate and the password of the layer."""
    return Path(os.environ["ESQ_FILES"])


def password() -> str:
    """Return the password of the layer."""
    return (files() / "password").read_text()


def serve(handler: type[Handler]) -> None:
    """Serve until terminated.

    Args:
        handler: handles the requests.
    """
    # The first process of a container is terminated only by signals that it handles.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    handler.authorization = login(password())
    server = ThreadingHTTPServer(("", int(os.environ["ESQ_PORT"])), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files() / "tls.crt", files() / "tls.key")
    # The thread of a request does its handshake: a silent client must not block the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
