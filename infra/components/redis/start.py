"""Runs in a pod before Redis and Sentinel do, and writes the configuration files of both.

The question is who the primary is. The Sentinels that are up know best. With none of them up, e.g. after a
power cut, this pod's Sentinel had written it down. In a new environment it is the first pod.

Shipped into the pod as a file: the standard library only.
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

TIMEOUT = 2.0
"""Seconds a Sentinel is given to answer."""


def ask(host: str, port: int, master: str, password: str, context: ssl.SSLContext) -> str | None:
    """Return the host that the Sentinel at `host` takes for the primary; None without an answer."""
    # Not ended by QUIT: a Sentinel knows no such command, and leaves the connection open.
    question = f"AUTH {password}\r\nSENTINEL GET-MASTER-ADDR-BY-NAME {master}\r\n"
    try:
        with (
            socket.create_connection((host, port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host) as stream,
        ):
            stream.sendall(question.encode())
            answer, found = b"", None
            while not found and (part := stream.recv(4096)):
                answer += part
                found = re.search(rb"^\*-1|^-|^\*2\r\n\$\d+\r\n(\S+)\r\n", answer, re.MULTILINE)
    except OSError:
        return None
    return found[1].decode() if found and found[1] else None


def kept_primary(kept: str, master: str) -> str | None:
    """Return the primary in a `sentinel.conf` that was written earlier; None when there is none."""
    found = re.search(rf"^sentinel monitor {master} (\S+) ", kept, re.MULTILINE)
    return found.group(1) if found else None


def kept_lines(kept: str, master: str, *, same_primary: bool) -> str:
    """Return what has to outlive a restart: the epochs; the peers too, while the primary is still the same.

    Without its peers a Sentinel could not call an election when the primary is gone with its zone, for it
    finds them through the primary. Under another primary the old list would name the wrong replicas.
    """
    words = [f"config-epoch {master} ", f"leader-epoch {master} ", "current-epoch "]
    if same_primary:
        words += [f"known-replica {master} ", f"known-sentinel {master} "]
    starts = tuple(f"sentinel {word}" for word in words)
    return "".join(f"{line}\n" for line in kept.splitlines() if line.startswith(starts))


def choose(answers: list[str | None], kept: str | None, first: str) -> str:
    """Return the primary: what most Sentinels say, else what was kept, else the first pod."""
    said = Counter(answer for answer in answers if answer)
    return said.most_common(1)[0][0] if said else kept or first


def server_conf(base: str, me: str, primary: str, password: str, port: int) -> str:
    """Return `redis.conf` of the pod `me`."""
    lines = [f"replica-announce-ip {me}", f"requirepass {password}", f"masterauth {password}"]
    if primary != me:
        lines.append(f"replicaof {primary} {port}")
    return base + "\n".join(lines) + "\n"


def sentinel_conf(base: str, group: str, me: str, passwords: tuple[str, str], kept: str) -> str:
    """Return `sentinel.conf` of the pod `me`.

    Args:
        base: the shared part.
        group: the lines about the primary.
        me: name of this pod.
        passwords: of the servers and of the Sentinels.
        kept: lines of an earlier file.
    """
    # The same name, the same identity: a Sentinel that came back must not be counted twice.
    identity = hashlib.sha1(me.encode(), usedforsecurity=False).hexdigest()
    master = group.split()[2]
    return (
        f"{base}requirepass {passwords[1]}\nsentinel sentinel-pass {passwords[1]}\n"
        f"sentinel announce-ip {me}\nsentinel myid {identity}\n"
        f"{group}sentinel auth-pass {master} {passwords[0]}\n{kept}"
    )


def main(environment: dict[str, str]) -> None:
    """Write Redis's file into memory, and Sentinel's onto the volume, where it notes what it finds."""
    me, master = environment["ESQ_HOST"], environment["ESQ_MASTER"]
    hosts = environment["ESQ_HOSTS"].split(",")
    source, target = Path(environment["ESQ_SOURCE"]), Path(environment["ESQ_TARGET"])
    kept_file = Path(environment["ESQ_KEPT"])
    password, sentinel_password = environment["ESQ_PASSWORD"], environment["ESQ_SENTINEL_PASSWORD"]
    context = ssl.create_default_context(cafile=environment["ESQ_CA"])
    port, sentinel_port = int(environment["ESQ_PORT"]), int(environment["ESQ_SENTINEL_PORT"])
    answers = [ask(host, sentinel_port, master, sentinel_password, context) for host in hosts if host != me]
    kept = kept_file.read_text() if kept_file.exists() else ""
    before = kept_primary(kept, master)
    primary = choose(answers, before, hosts[0])
    base = (source / "redis.conf").read_text()
    (target / "redis.conf").write_text(server_conf(base, me, primary, password, port))
    group = (source / "group.conf").read_text().replace("PRIMARY", primary)
    lines = kept_lines(kept, master, same_primary=primary == before)
    text = sentinel_conf(
        (source / "sentinel.conf").read_text(), group, me, (password, sentinel_password), lines
    )
    kept_file.parent.mkdir(parents=True, exist_ok=True)
    kept_file.write_text(text)
    sys.stdout.write(f"primary is {primary}; sentinels said {answers}, kept was {before}\n")


if __name__ == "__main__":
    main(dict(os.environ))
