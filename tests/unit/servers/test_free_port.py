"""Ports for the servers of tests that run in several processes at the same time."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.servers import process

TAKE_PORTS = """
from tests.servers import process
process.PORTS = range({start}, {stop})
print([process.free_port() for _ in range({count})], flush=True)
input()
"""


def test_two_processes_get_different_ports() -> None:
    own = {process.free_port() for _ in range(3)}
    start, stop = min(own), min(own) + 40
    script = TAKE_PORTS.format(start=start, stop=stop, count=10)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        others = set(map(int, other.stdout.readline().strip("[]\n").split(",")))
        other.communicate("\n")
    assert len(others) == 10
    assert not own & others


def test_port_of_a_running_server_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    port = process.free_port()
    process._CLAIMS.pop().close()  # only the server keeps the port
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(process, "PORTS", range(port, port + 1))
        with pytest.raises(RuntimeError, match="no free port"):
            process.free_port()
