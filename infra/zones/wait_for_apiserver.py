"""Wait until the API server responds with 200, then exec a program that could not start before.

Run as a program: `wait_for_apiserver.py HOST PATH PKI IDENTITY PROGRAM ARGUMENTS...`. It imports no other
module of this project and polls within one process: CPU is scarce while a cluster starts, and one kubectl per
poll would use much of it.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
import time
from pathlib import Path

PORT = 6443
READY_PATH = "/readyz"
_POLL_INTERVAL_SECONDS = 0.1
_TIMEOUT_SECONDS = 2.0


def unavailability_reason(host: str, path: str, pki: Path, identity: str) -> str | None:
    """Request a path of the API server once.

    Args:
        host: address of the API server.
        path: path to request, e.g. `/readyz`.
        pki: folder of the certificates.
        identity: name of the client certificate's files.

    Returns:
        The reason if the response is not 200, else None.
    """
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
    http_connection = http.client.HTTPSConnection(host, PORT, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        http_connection.request("GET", path)
        response = http_connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{PORT}: {error}"
    finally:
        http_connection.close()
    return None if response.status == http.client.OK else f"{response.status} {body}"


def main(host: str, path: str, pki: str, identity: str, *argv: str) -> None:
    """Wait without a limit, since the supervisor considers the program as started, then exec `argv`.

    Args:
        host: address of the API server.
        path: path to request.
        pki: folder of the certificates.
        identity: name of the client certificate's files.
        argv: program and arguments.
    """
    while unavailability_reason(host, path, Path(pki), identity) is not None:
        time.sleep(_POLL_INTERVAL_SECONDS)
    os.execv(argv[0], argv)  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    main(*sys.argv[1:])
