"""The HTTP server that commands run: a thread for each request, and quiet about clients that leave."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class LocalServer(ThreadingHTTPServer):
    """A server whose threads end with the command."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's signature
        """Ignore a client that has left; print the traceback of a defect.

        Args:
            request: socket of the client.
            client_address: its address.
        """
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
