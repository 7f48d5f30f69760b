"""What a kubelet asks of Redis and of the Sentinel beside it. Run by `prober.py` in the same pod.

Shipped into the pod as a file: the standard library only.
"""

from __future__ import annotations

import os
import socket
import ssl
from functools import cache, partial
from pathlib import Path

TIMEOUT = 4.0
"""Seconds for connecting and for each answer."""
HOST = "127.0.0.1"
PORT, SENTINEL_PORT = 6379, 26379
CA = Path("/etc/esq/tls/ca.crt")


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


def ask(port: int, password: str, command: str) -> str:
    """Log in and return what the server says to `command`, an error's text included."""
    with (
        socket.create_connection((HOST, port), TIMEOUT) as plain,
        _context().wrap_socket(plain, server_hostname=HOST) as stream,
    ):
        stream.sendall(f"AUTH {password}\r\n{command}\r\nQUIT\r\n".encode())
        answer = b"".join(iter(partial(stream.recv, 4096), b""))
    login, _, rest = answer.decode(errors="replace").partition("\r\n")
    return rest if login == "+OK" else login


def lives(port: int, password: str) -> str | None:
    """Return why a server does not answer; None when it does."""
    answer = ask(port, password, "PING")
    return None if answer.startswith("+PONG") else answer.strip() or "no answer"


def serves(port: int, password: str) -> str | None:
    """Return why a server is of no use now: it does not answer, or it is a replica that hears no primary."""
    answer = ask(port, password, "INFO replication")
    if "role:master" in answer or "master_link_status:up" in answer:
        return None
    return (
        "a replica without a link to its primary" if "role:slave" in answer else answer.strip() or "no answer"
    )


def elects(port: int, password: str, master: str) -> str | None:
    """Return why a Sentinel could not elect a new primary; None when it sees enough of the others."""
    answer = ask(port, password, f"SENTINEL CKQUORUM {master}")
    return None if answer.startswith("+OK") else answer.strip() or "no answer"


def _redis() -> tuple[int, str]:
    return PORT, os.environ["ESQ_PASSWORD"]


def _sentinel() -> tuple[int, str]:
    return SENTINEL_PORT, os.environ["ESQ_SENTINEL_PASSWORD"]


QUESTIONS = {
    "redis/live": lambda: lives(*_redis()),
    "redis/ready": lambda: serves(*_redis()),
    "sentinel/live": lambda: lives(*_sentinel()),
    "sentinel/ready": lambda: elects(*_sentinel(), os.environ["ESQ_MASTER"]),
}
