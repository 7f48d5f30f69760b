"""Runs the probe server of a pod: with its programs in one folder, and the environment of the checks."""

from __future__ import annotations

import signal
import ssl
import sys
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.certificate_authority import create_ca, issue_certificate
from infra.components.pod_programs import probe_server
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def run_probe_server(folder: Path, environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Run it with `probe.py` of a folder; yield a client.

    Args:
        folder: of the scripts.
        environment: of the process.
    """
    (folder / "probe_server.py").write_bytes(Path(probe_server.__file__).read_bytes())
    port, ca = free_port(), create_ca()
    pair = issue_certificate(ca, "localhost", ["localhost"])
    certificate = folder / "probe-server.pem"
    certificate.write_text(pair.key + pair.certificate)
    program = f"import probe_server; probe_server.main('probe', {str(certificate)!r}, port={port})"
    context = ssl.create_default_context(cadata=ca.certificate)
    server = Server("probe-server", folder / "probe-server.log")
    server.launch([sys.executable, "-c", program], env={"PYTHONPATH": str(folder), **environment})
    try:
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context) as client:
            server.wait_until_ready(lambda: _is_ready(client), 20)
            yield client
    finally:
        code = server.send_signal(signal.SIGTERM)
    # It must handle SIGTERM: the first process of a container ignores unhandled signals.
    assert code == 0, server.tail()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get(probe_server.SELF_CHECK_PATH).status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False
