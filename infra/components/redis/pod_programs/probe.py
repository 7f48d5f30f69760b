"""Checks of Redis and of the Sentinel beside it, served by `probe_server.py` in the same pod.

Mounted into the pod as a file: it imports the standard library only.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from functools import cache
from pathlib import Path

TIMEOUT_SECONDS = 4.0
"""Timeout of the connection and of each response."""
ACCOUNT = "probe"
"""Account on the server and on the Sentinel; it may read their state."""
HOST = "127.0.0.1"
PORT, SENTINEL_PORT = 6379, 26379
CA_FILE = Path("/etc/esq/tls/ca.crt")


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA_FILE)


def send_command(port: int, password: str, command: str) -> str:
    """Log in as `probe` and send a command.

    Args:
        port: port of the server.
        password: password of the account.
        command: inline command.

    Returns:
        The reply, or the text of an error reply.
    """
    with (
        socket.create_connection((HOST, port), TIMEOUT_SECONDS) as plain,
        _context().wrap_socket(plain, server_hostname=HOST) as stream,
    ):
        # No QUIT at the end: Sentinel does not support it.
        stream.sendall(f"AUTH {ACCOUNT} {password}\r\n{command}\r\n".encode())
        received = b""
        while (reply := _second_reply(received)) is None:
            data = stream.recv(4096)
            if not data:
                return "the connection was closed"
            received += data
        return reply


def _second_reply(received: bytes) -> str | None:
    """Return the second reply, or the first if it is an error; None while it is incomplete."""
    match = re.match(rb"([^\r]*)\r\n(?:([+-][^\r]*)\r\n|\$(\d+)\r\n)", received)
    if match is None:
        return None
    login, line, length = match.groups()
    if login != b"+OK" or line:
        return (line if login == b"+OK" else login).decode()
    end = match.end() + int(length)
    return received[match.end() : end].decode() if len(received) >= end else None


def check_liveness(port: int, password: str) -> str | None:
    """Return why a server does not answer; None if it does.

    Args:
        port: port of the server.
        password: password of the account.
    """
    reply = send_command(port, password, "PING")
    return None if reply == "+PONG" else reply


def check_readiness(port: int, password: str) -> str | None:
    """Return why a server is not ready (no answer, or a replica without its primary); None if it is.

    Args:
        port: port of the server.
        password: password of the account.
    """
    reply = send_command(port, password, "INFO replication")
    if "role:master" in reply or "master_link_status:up" in reply:
        return None
    return "a replica without a link to its primary" if "role:slave" in reply else reply


def check_sentinel_quorum(port: int, password: str, master_name: str) -> str | None:
    """Return why a Sentinel cannot elect a new primary; None if it reaches a quorum of Sentinels.

    Args:
        port: port of the Sentinel.
        password: password of the account.
        master_name: name of the monitored primary.
    """
    reply = send_command(port, password, f"SENTINEL CKQUORUM {master_name}")
    return None if reply.startswith("+OK") else reply


_GAUGES = {
    "used_memory": "redis_memory_used_bytes",
    "maxmemory": "redis_memory_max_bytes",
    "connected_clients": "redis_connected_clients",
    "blocked_clients": "redis_blocked_clients",
    "connected_slaves": "redis_connected_replicas",
    "total_commands_processed": "redis_commands_processed_total",
    "rejected_connections": "redis_rejected_connections_total",
    "evicted_keys": "redis_evicted_keys_total",
    "uptime_in_seconds": "redis_uptime_seconds",
}
"""Metric by field of `INFO`."""


def render_metrics(info: str, *, seconds: float, quorum_problem: str | None) -> str:
    """Return the metrics of a server and of the Sentinel beside it, in the text format of Prometheus.

    Args:
        info: reply to `INFO`; empty if the server did not answer.
        seconds: duration of connection, login and reply.
        quorum_problem: see `check_sentinel_quorum`.
    """
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    role = fields.get("role", "")
    lines = [f"redis_up {int(bool(role))}", f"redis_sentinel_quorum_ok {int(quorum_problem is None)}"]
    if role:
        offset = fields["master_repl_offset" if role == "master" else "slave_repl_offset"]
        lines += [f"{metric} {fields[name]}" for name, metric in _GAUGES.items() if name in fields]
        lines += [f'redis_instance_info{{role="{role}"}} 1', f"redis_replication_offset_bytes {offset}"]
        lines.append(f"redis_last_append_ok {int(fields.get('aof_last_write_status') == 'ok')}")
        lines.append(f"redis_request_seconds {seconds:.6f}")
    if role == "slave":
        lines.append(f"redis_master_link_up {int(fields['master_link_status'] == 'up')}")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Return the metrics; those of a server that does not answer are missing, and `redis_up` is 0."""
    started = time.monotonic()
    try:
        info = send_command(*_redis(), "INFO")
    except OSError:
        info = ""
    seconds = time.monotonic() - started
    try:
        problem = check_sentinel_quorum(*_sentinel(), os.environ["ESQ_MASTER_NAME"])
    except OSError as error:
        problem = str(error)
    return render_metrics(info, seconds=seconds, quorum_problem=problem)


def _redis() -> tuple[int, str]:
    return PORT, os.environ["ESQ_PROBE_PASSWORD"]


def _sentinel() -> tuple[int, str]:
    return SENTINEL_PORT, os.environ["ESQ_PROBE_PASSWORD"]


METRICS = metrics
CHECKS = {
    "/redis/live": lambda: check_liveness(*_redis()),
    "/redis/ready": lambda: check_readiness(*_redis()),
    "/sentinel/live": lambda: check_liveness(*_sentinel()),
    "/sentinel/ready": lambda: check_sentinel_quorum(*_sentinel(), os.environ["ESQ_MASTER_NAME"]),
}
