"""HTTP server of the operations page: on 127.0.0.1, read-only, everything from this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from cli.local_server import LocalServer
from cli.operations_page.access import HOST, Access
from infra.errors import EsqError
from infra.measurements.html import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SOCKET_TIMEOUT_SECONDS = 30.0
_ASSETS = Path(__file__).parent / "assets"
_JSON = "application/json"


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: status code.
        body: content.
        content_type: media type of the content.
    """

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class OperationsApp:
    """What the server answers.

    Attributes:
        page: the HTML of the page, without any data.
        snapshot: returns the JSON of all panels.
        view: returns the JSON of a view by its name and argument; raises EsqError.
    """

    page: str
    snapshot: Callable[[], dict[str, Any]]
    view: Callable[[str, str], dict[str, Any]]

    def respond(self, target: str, headers: Mapping[str, str], access: Access) -> Response:
        """Return the response to a GET request.

        Args:
            target: path and query of the request.
            headers: its headers, names in lower case.
            access: the address and the token of the server.
        """
        if not access.accepts_host(headers):
            return _error(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")
        parts = urlsplit(target)
        if asset := self._asset(parts.path):
            return asset
        if not access.accepts_token(headers):
            return _error(HTTPStatus.UNAUTHORIZED, "Open the address that `esq open` printed.")
        return self._data(parts.path, parse_qs(parts.query))

    def _asset(self, path: str) -> Response | None:
        match path:
            case "/":
                return Response(HTTPStatus.OK, self.page.encode(), "text/html; charset=utf-8")
            case "/page.css":
                style = STYLE.read_bytes() + (_ASSETS / "page.css").read_bytes()
                return Response(HTTPStatus.OK, style, "text/css; charset=utf-8")
            case "/page.js" | "/morph.js":
                script = (_ASSETS / path[1:]).read_bytes()
                return Response(HTTPStatus.OK, script, "text/javascript; charset=utf-8")
        return None

    def _data(self, path: str, query: Mapping[str, list[str]]) -> Response:
        if path == "/snapshot.json":
            return _json(self.snapshot())
        if path.startswith("/views/"):
            try:
                return _json(self.view(path.removeprefix("/views/"), query.get("argument", [""])[0]))
            except EsqError as error:
                return _json({"error": f"{error.message}. {error.remedy}".strip()})
        return _error(HTTPStatus.NOT_FOUND, "No such page.")


def _json(values: dict[str, Any]) -> Response:
    return Response(HTTPStatus.OK, json.dumps(values).encode(), _JSON)


def _error(status: HTTPStatus, message: str) -> Response:
    return Response(status, f"{message}\n".encode())


class OperationsServer(LocalServer):
    """The server; a thread per connection, all of which end with the process.

    Args:
        app: what it answers.
        port: port on 127.0.0.1; 0 for a free one.
    """

    def __init__(self, app: OperationsApp, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.app = app
        self.access = Access(self.server_port)


class _Handler(BaseHTTPRequestHandler):
    server: OperationsServer
    server_version = "esq"
    sys_version = ""
    timeout = _SOCKET_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.app.respond(self.path, headers, self.server.access)
        self.send_response(response.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's signature
        """Write no log."""
