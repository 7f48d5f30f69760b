"""The client that shows whether a NetworkPolicy drops connections."""

from __future__ import annotations

import socket
import subprocess
import sys

from chaos import policy_probe

ADDRESS = "127.0.0.73"


def run_client(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", script, ADDRESS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def listen() -> socket.socket:
    return socket.create_server((ADDRESS, policy_probe._PORT))


def test_lost_connections_prove_no_policy() -> None:
    """A busy node refuses some connections without a policy."""
    script = policy_probe._CLIENT.replace(", 30, 4)", ", 2, 4)")
    assert script != policy_probe._CLIENT
    # Every third connection is lost.
    lossy = "attempts = iter(range(1000))\nreal = connects\nconnects = lambda: real() and next(attempts) % 3 != 2\n"
    script = script.replace("def wait", f"{lossy}def wait", 1)
    with listen(), run_client(script) as client:
        assert client.wait(30) == policy_probe._NOT_ENFORCED


def test_dropped_connections_prove_a_policy() -> None:
    with listen() as server, run_client(policy_probe._CLIENT) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "connected\n"
        server.close()
        assert client.wait(60) == 0
