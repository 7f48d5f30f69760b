"""HTTP server in front of `AlertReceiver`: `POST /alerts` with a bearer token, `GET /health` without."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from cli.alert_receiver import MalformedRequestError, OverloadedError
from cli.local_server import LocalServer
from infra.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from cli.alert_receiver import AlertReceiver

MAX_BODY_BYTES = 1 << 20
MAX_REQUESTS = 16
"""Requests at the same time; further ones are refused with 503."""
_SOCKET_TIMEOUT_SECONDS = 10.0
_TOKEN_BYTES = 32


def load_token(file: Path) -> str:
    """Return the token of the server; the first start makes it, in a file that only its owner reads."""
    if not file.exists():
        write_atomically(file, secrets.token_urlsafe(_TOKEN_BYTES))
    return file.read_text(encoding="utf-8").strip()


class AlertServer(LocalServer):
    """The server; a thread per connection.

    Args:
        receiver: handles the webhooks.
        token: token that a request must have.
        address: address to listen on.
        port: port; 0 for a free one.
    """

    def __init__(self, receiver: AlertReceiver, token: str, *, address: str, port: int) -> None:
        super().__init__((address, port), _Handler)
        self.receiver = receiver
        self.token = token
        self.slots = threading.BoundedSemaphore(MAX_REQUESTS)


class _Handler(BaseHTTPRequestHandler):
    server: AlertServer
    server_version = "esq"
    sys_version = ""
    timeout = _SOCKET_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        is_health = self.path == "/health"
        self._respond(HTTPStatus.OK if is_health else HTTPStatus.NOT_FOUND, {"ok": is_health})

    def do_POST(self) -> None:
        if not self.server.slots.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at the same time")
            return
        try:
            self._receive()
        finally:
            self.server.slots.release()

    def _receive(self) -> None:
        if not self._is_authorized():
            self._refuse(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")
        elif self.path != "/alerts":
            self._refuse(HTTPStatus.NOT_FOUND, "post webhooks to /alerts")
        elif (length := self._length()) is None:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes, with their length"
            )
        else:
            self._handle(self.rfile.read(length))

    def _handle(self, body: bytes) -> None:
        try:
            runs = self.server.receiver.receive(body)
        except MalformedRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message)
        except OverloadedError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        else:
            self._respond(HTTPStatus.OK, {"runs": [run.id for run in runs]})

    def _is_authorized(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and hmac.compare_digest(token.encode(), self.server.token.encode())

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() and int(text) <= MAX_BODY_BYTES else None

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # its body is not read
        self._respond(status, {"error": message})

    def _respond(self, status: HTTPStatus, values: dict[str, Any]) -> None:
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's signature
        """Write no log: the runs are the record."""
