"""Waits until the API server answers a question, then becomes the program that could not start before.

Run as a program: `wait.py HOST PATH PKI IDENTITY PROGRAM ARGUMENTS...`. It imports nothing of ours and asks
within one process: while a cluster starts the processor is what is scarce, and a kubectl per question would
take much of it.
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
    """Ask the API server on `host` for `path` as `identity`; return why there was no 200, or None."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
    connection = http.client.HTTPSConnection(host, PORT, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{PORT}: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{answer.status} {body}"


def main(host: str, path: str, pki: str, identity: str, *argv: str) -> None:
    """Wait, without end as the supervisor restarts nothing that only waits, and become `argv`."""
    while unavailability_reason(host, path, Path(pki), identity) is not None:
        time.sleep(_POLL_INTERVAL_SECONDS)
    os.execv(argv[0], argv)  # noqa: S606 - a shell is what it does without


if __name__ == "__main__":
    main(*sys.argv[1:])
