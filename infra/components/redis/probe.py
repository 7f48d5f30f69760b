"""What a kubelet asks of Redis and of the Sentinel beside it. Run by `prober.py` in the same pod.

Shipped into the pod as a file: the standard library only.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from functools import cache
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
        # Not ended by QUIT: a Sentinel knows no such command.
        stream.sendall(f"AUTH {password}\r\n{command}\r\n".encode())
        answer = b""
        while (text := _second(answer)) is None:
            part = stream.recv(4096)
            if not part:
                return "the connection was closed"
            answer += part
        return text


def _second(answer: bytes) -> str | None:
    """Return the second reply, or the first if that is an error; None while it is not whole."""
    found = re.match(rb"([^\r]*)\r\n(?:([+-][^\r]*)\r\n|\$(\d+)\r\n)", answer)
    if found is None:
        return None
    login, line, length = found.groups()
    if login != b"+OK" or line:
        return (line if login == b"+OK" else login).decode()
    end = found.end() + int(length)
    return answer[found.end() : end].decode() if len(answer) >= end else None


def lives(port: int, password: str) -> str | None:
    """Return why a server does not answer; None when it does."""
    answer = ask(port, password, "PING")
    return None if answer == "+PONG" else answer


def serves(port: int, password: str) -> str | None:
    """Return why a server is of no use now: it does not answer, or it is a replica that hears no primary."""
    answer = ask(port, password, "INFO replication")
    if "role:master" in answer or "master_link_status:up" in answer:
        return None
    return "a replica without a link to its primary" if "role:slave" in answer else answer


def elects(port: int, password: str, master: str) -> str | None:
    """Return why a Sentinel could not elect a new primary; None when it sees enough of the others."""
    answer = ask(port, password, f"SENTINEL CKQUORUM {master}")
    return None if answer.startswith("+OK") else answer


def _redis() -> tuple[int, str]:
    return PORT, os.environ["ESQ_PASSWORD"]


def _sentinel() -> tuple[int, str]:
    return SENTINEL_PORT, os.environ["ESQ_SENTINEL_PASSWORD"]


QUESTIONS = {
    "/redis/live": lambda: lives(*_redis()),
    "/redis/ready": lambda: serves(*_redis()),
    "/sentinel/live": lambda: lives(*_sentinel()),
    "/sentinel/ready": lambda: elects(*_sentinel(), os.environ["ESQ_MASTER"]),
}
