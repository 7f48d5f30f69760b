"""Init container of Redis and Sentinel: selects the primary and writes both configuration files.

The Sentinels that are running know the primary best. If none runs, e.g. after a power outage, the state file
of this pod's own Sentinel names it. In a new environment it is the first pod.

Mounted into the pod as a file: it imports the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import sys
from collections import Counter
from pathlib import Path

TIMEOUT_SECONDS = 2.0
"""Timeout of a query to a Sentinel."""
PROBE_ACCOUNT = "probe"
"""Account that may query a Sentinel for the primary."""


def query_sentinel(
    host: str, port: int, master_name: str, password: str, context: ssl.SSLContext
) -> str | None:
    """Return the primary according to a Sentinel; None if it does not answer.

    Args:
        host: host of the Sentinel.
        port: port of the Sentinel.
        master_name: name of the monitored primary.
        password: password of `probe`.
        context: verifies its certificate.
    """
    # No QUIT at the end: Sentinel does not support it and keeps the connection open.
    request = f"AUTH {PROBE_ACCOUNT} {password}\r\nSENTINEL GET-MASTER-ADDR-BY-NAME {master_name}\r\n"
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as stream,
        ):
            stream.sendall(request.encode())
            received, match = b"", None
            while not match and (data := stream.recv(4096)):
                received += data
                match = re.search(rb"^\*-1|^-|^\*2\r\n\$\d+\r\n(\S+)\r\n", received, re.MULTILINE)
    except OSError:
        return None
    return match[1].decode() if match and match[1] else None


def previous_primary(sentinel_state: str, master_name: str) -> str | None:
    """Return the primary in an existing `sentinel.conf`; None if there is none.

    Args:
        sentinel_state: content of the file.
        master_name: name of the monitored primary.
    """
    match = re.search(rf"^sentinel monitor {master_name} (\S+) ", sentinel_state, re.MULTILINE)
    return match.group(1) if match else None


def previous_sentinel_state(sentinel_state: str, master_name: str, *, same_primary: bool) -> str:
    """Return the lines that have to survive a restart: the epochs and, if the primary is the same, the peers.

    A Sentinel discovers its peers through the primary. Without them it could not start an election after the
    loss of the primary's zone. With another primary, the old list would name the wrong replicas.

    Args:
        sentinel_state: content of the existing `sentinel.conf`.
        master_name: name of the monitored primary.
        same_primary: whether the primary is unchanged.
    """
    options = [f"config-epoch {master_name} ", f"leader-epoch {master_name} ", "current-epoch "]
    if same_primary:
        options += [f"known-replica {master_name} ", f"known-sentinel {master_name} "]
    prefixes = tuple(f"sentinel {option}" for option in options)
    return "".join(f"{line}\n" for line in sentinel_state.splitlines() if line.startswith(prefixes))


def select_primary(sentinel_answers: list[str | None], previous: str | None, first_host: str) -> str:
    """Return the primary: the answer of most Sentinels, else the previous primary, else the first pod.

    Args:
        sentinel_answers: answer of each Sentinel; None if it did not answer.
        previous: primary in the existing state file.
        first_host: host of the first pod.
    """
    votes = Counter(answer for answer in sentinel_answers if answer)
    return votes.most_common(1)[0][0] if votes else previous or first_host


def server_conf(base: str, host: str, primary: str, password: str, port: int) -> str:
    """Return `redis.conf` of a pod.

    Args:
        base: the shared part.
        host: host of the pod.
        primary: host of the primary.
        password: password with which a replica logs in to the primary.
        port: port of the servers.
    """
    lines = [f"replica-announce-ip {host}", f"masterauth {password}"]
    if primary != host:
        lines.append(f"replicaof {primary} {port}")
    return base + "\n".join(lines) + "\n"


def sentinel_conf(base: str, monitor_conf: str, host: str, password: str, state_lines: str) -> str:
    """Return `sentinel.conf` of a pod.

    Args:
        base: the shared part.
        monitor_conf: the lines about the primary.
        host: host of the pod.
        password: password with which a Sentinel logs in to servers and to other Sentinels.
        state_lines: lines of the existing file.
    """
    # The id is derived from the host, so that a restarted Sentinel is not counted twice.
    sentinel_id = hashlib.sha1(host.encode(), usedforsecurity=False).hexdigest()
    master_name = monitor_conf.split()[2]
    return (
        f"{base}sentinel sentinel-pass {password}\n"
        f"sentinel announce-ip {host}\nsentinel myid {sentinel_id}\n"
        f"{monitor_conf}sentinel auth-pass {master_name} {password}\n{state_lines}"
    )


def main(environment: dict[str, str]) -> None:
    """Write `redis.conf` to memory, and `sentinel.conf` to the volume, as Sentinel stores its state in it."""
    host, master_name = environment["ESQ_HOST"], environment["ESQ_MASTER_NAME"]
    hosts = environment["ESQ_HOSTS"].split(",")
    source, target = Path(environment["ESQ_SOURCE"]), Path(environment["ESQ_TARGET"])
    state_file = Path(environment["ESQ_SENTINEL_STATE"])
    context = ssl.create_default_context(cafile=environment["ESQ_CA_FILE"])
    port, sentinel_port = int(environment["ESQ_PORT"]), int(environment["ESQ_SENTINEL_PORT"])
    answers = [
        query_sentinel(other, sentinel_port, master_name, environment["ESQ_PROBE_PASSWORD"], context)
        for other in hosts
        if other != host
    ]
    state = state_file.read_text() if state_file.exists() else ""
    previous = previous_primary(state, master_name)
    primary = select_primary(answers, previous, hosts[0])
    base = (source / "redis.conf").read_text()
    replication_password = environment["ESQ_REPLICATION_PASSWORD"]
    (target / "redis.conf").write_text(server_conf(base, host, primary, replication_password, port))
    monitor_conf = (source / "monitor.conf").read_text().replace("PRIMARY", primary)
    state_lines = previous_sentinel_state(state, master_name, same_primary=primary == previous)
    sentinel_base = (source / "sentinel.conf").read_text()
    state_file.parent.mkdir(parents=True, exist_ok=True)
    sentinel_password = environment["ESQ_SENTINEL_PASSWORD"]
    state_file.write_text(sentinel_conf(sentinel_base, monitor_conf, host, sentinel_password, state_lines))
    sys.stdout.write(f"primary: {primary}; answers of the Sentinels: {answers}; previous: {previous}\n")


if __name__ == "__main__":
    main(dict(os.environ))
