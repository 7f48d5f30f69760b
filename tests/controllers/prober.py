"""The prober of a pod, run as there: with its scripts in one folder, and the questions' environment."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.components import prober
from tests.controllers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def probing(folder: Path, environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Run it by `probe.py` of `folder`; give a client that asks it."""
    (folder / "prober.py").write_bytes(Path(prober.__file__).read_bytes())
    port = free_port()
    program = f"import prober; prober.main('probe', {port})"
    server = Server("prober", folder / "prober.log")
    server.launch([sys.executable, "-c", program], env={"PYTHONPATH": str(folder), **environment})
    try:
        with httpx.Client(base_url=f"http://localhost:{port}") as client:
            server.await_ready(lambda: _answers(client), 20)
            yield client
    finally:
        code = server.send(signal.SIGTERM)
    # By itself: as the first process of a container it would otherwise not end at all.
    assert code == 0, server.tail()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get(prober.SELF).status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False
