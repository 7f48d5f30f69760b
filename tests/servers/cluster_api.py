"""Parts of a Kubernetes API on loopback, from recorded objects; paths can hang, as those of lost machines do."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ClusterApi(ThreadingHTTPServer):
    """Answers GET requests.

    Attributes:
        answers: body by path without its query: text, or a JSON value.
        hanging: beginnings of paths that get no answer until the server stops.
        requests: the requested paths.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {}
        self.hanging: tuple[str, ...] = ()
        self.requests: list[str] = []
        self.stopping = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Ignore clients that have stopped to wait."""

    def write_kubeconfig(self, file: Path) -> Path:
        """Write a kubeconfig of this server; return its path."""
        document = {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        file.write_text(yaml.safe_dump(document))
        return file


class _Handler(BaseHTTPRequestHandler):
    server: ClusterApi

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        if path.startswith(self.server.hanging):
            self.server.stopping.wait()
            return
        answer = self.server.answers.get(path, {"message": "not found"})
        body = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(200 if path in self.server.answers else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_cluster_api() -> Iterator[ClusterApi]:
    """Start a server; release what hangs and stop it at the end."""
    server = ClusterApi()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
