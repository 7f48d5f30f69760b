"""Asks a Kafka node, over the clients' listener, how it and its cluster are. For probes and for `esq status`.

It speaks the few requests it needs by itself, since the alternative is a JVM of one second and 100 MiB for
each question. Shipped into the pod as a file: the standard library only, and little of that.

    probe.py        prints what it was told, as JSON

What a kubelet asks is answered by `prober.py` in the same pod, by `QUESTIONS`.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 4.0
"""Seconds for connecting and for each answer."""
PORT = 9092
CA = "/etc/esq/tls/ca.crt"

_METADATA, _HANDSHAKE, _AUTHENTICATE, _QUORUM = 3, 17, 36, 55
_NO_LEADER = -1


class NotReadyError(OSError):
    """The node cannot do its work now, as if it were not reached; the message says why."""


@dataclass(frozen=True)
class Partition:
    """A partition as this node knows it; brokers by id, `leader` -1 while there is none."""

    topic: str
    number: int
    leader: int
    replicas: list[int]
    in_sync: list[int]


@dataclass(frozen=True)
class Metadata:
    """Brokers that are not fenced, and all partitions."""

    brokers: list[int]
    partitions: list[Partition]


@dataclass(frozen=True)
class Voter:
    """A controller: how many records and milliseconds it is behind (-1: unknown)."""

    number: int
    behind: int
    behind_ms: int


@dataclass(frozen=True)
class Quorum:
    """The metadata quorum."""

    leader: int
    voters: list[Voter]


class Reader:
    """Takes Kafka's primitive types off the front of an answer."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, kind: str) -> int:
        """Return the next number; `kind` is a `struct` letter."""
        value: int = struct.unpack_from(f">{kind}", self.data, self.at)[0]
        self.at += struct.calcsize(f">{kind}")
        return value

    def text(self) -> str | None:
        """Return the next nullable string."""
        return self.raw(self.take("h"))

    def raw(self, length: int) -> str | None:
        """Return the next `length` bytes as text; None when negative."""
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def varint(self) -> int:
        """Return the next unsigned variable-length number."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the high bit says that more follows
                return value
            shift += 7

    def skip_tags(self) -> None:
        """Pass over tagged fields."""
        for _ in range(self.varint()):
            self.varint()
            self.at += self.varint()

    def numbers(self) -> list[int]:
        """Return the next array of 32-bit numbers."""
        return [self.take("i") for _ in range(self.take("i"))]


class Client:
    """A connection, to be used as a context; `login` comes before any question."""

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, ca: str = CA) -> None:
        plain = socket.create_connection((host, port), TIMEOUT)
        self.stream = _context(ca).wrap_socket(plain, server_hostname=host)
        self.correlation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def login(self, user: str, password: str) -> None:
        """Log in.

        Raises:
            NotReadyError: the node refuses.
        """
        if self.call(_HANDSHAKE, 1, _string("PLAIN")).take("h"):
            raise NotReadyError("the node does not offer PLAIN")
        token = f"\0{user}\0{password}".encode()
        answer = self.call(_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        if answer.take("h"):
            raise NotReadyError(f"login refused: {answer.text()}")

    def call(self, key: int, version: int, body: bytes, *, flexible: bool = False) -> Reader:
        """Send a request and return its answer, behind the header."""
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + _string("esq-probe")
        message = header + (b"\0" if flexible else b"") + body
        self.stream.sendall(struct.pack(">i", len(message)) + message)
        (length,) = struct.unpack(">i", self._receive(4))
        reader = Reader(self._receive(length))
        reader.take("i")
        if flexible:
            reader.skip_tags()
        return reader

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.stream.recv(length - len(data))
            if not part:
                raise NotReadyError("the node closed the connection")
            data += part
        return data

    def metadata(self) -> Metadata:
        """Ask for brokers and partitions of all topics (Metadata, version 1)."""
        answer = self.call(_METADATA, 1, struct.pack(">i", -1))
        brokers = []
        for _ in range(answer.take("i")):
            brokers.append(answer.take("i"))
            answer.text()
            answer.take("i")
            answer.text()
        answer.take("i")
        partitions = [each for _ in range(answer.take("i")) for each in _topic(answer)]
        return Metadata(sorted(brokers), partitions)

    def quorum(self) -> Quorum:
        """Ask the active controller, through this node, for its quorum (DescribeQuorum, version 1)."""
        name = b"__cluster_metadata"
        body = b"\2" + bytes([len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0" + b"\0" + b"\0"
        answer = self.call(_QUORUM, 1, body, flexible=True)
        if error := answer.take("h"):
            raise NotReadyError(f"no answer from the quorum (error {error})")
        answer.varint()
        answer.raw(answer.varint() - 1)
        answer.varint()
        answer.take("i")
        if error := answer.take("h"):
            raise NotReadyError(f"no answer from the quorum (error {error})")
        leader = answer.take("i")
        answer.take("i")
        answer.take("q")
        return Quorum(leader, _voters(answer))


@cache
def _context(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def _string(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _topic(answer: Reader) -> list[Partition]:
    answer.take("h")
    name = answer.text() or ""
    answer.take("b")
    found = []
    for _ in range(answer.take("i")):
        answer.take("h")
        number, leader = answer.take("i"), answer.take("i")
        found.append(Partition(name, number, leader, answer.numbers(), answer.numbers()))
    return found


def _voters(answer: Reader) -> list[Voter]:
    found = []
    for _ in range(answer.varint() - 1):
        number, end, fetched, caught_up = (answer.take(kind) for kind in "iqqq")
        answer.skip_tags()
        found.append((number, end, fetched, caught_up))
    last = max(end for _, end, _, _ in found)
    newest = max(caught_up for *_, caught_up in found)
    return [
        Voter(number, last - end, newest - caught_up if caught_up >= 0 else -1)
        for number, end, _, caught_up in found
    ]


def reason_not_ready(me: int, metadata: Metadata, quorum: Quorum) -> str | None:
    """Return why the node `me` is not ready; None when it is."""
    if quorum.leader == _NO_LEADER:
        return "the quorum has no leader"
    if me not in metadata.brokers:
        return "fenced, or not registered yet"
    behind = [each for each in metadata.partitions if me in each.replicas and me not in each.in_sync]
    if behind:
        return f"catching up on {len(behind)} partitions, e.g. {behind[0].topic}-{behind[0].number}"
    return None


@contextmanager
def _logged_in() -> Iterator[Client]:
    with Client() as client:
        client.login(os.environ.get("ESQ_KAFKA_USER", "esq"), os.environ["ESQ_KAFKA_PASSWORD"])
        yield client


def lives() -> str | None:
    """Return None when the node answers a client that logs in.

    Raises:
        OSError: it does not.
    """
    with _logged_in():
        return None


def serves() -> str | None:
    """Return why the node cannot do its work.

    It can when the quorum has a leader, the node is one of the brokers that are not fenced, and it is in sync
    for every partition it has a copy of.

    Raises:
        OSError: it does not answer.
    """
    with _logged_in() as client:
        metadata, quorum = client.metadata(), client.quorum()
    return reason_not_ready(int(socket.gethostname().rpartition("-")[2]), metadata, quorum)


def report() -> None:
    """Print what the node was told."""
    with _logged_in() as client:
        metadata, quorum = client.metadata(), client.quorum()
    sys.stdout.write(json.dumps({"metadata": asdict(metadata), "quorum": asdict(quorum)}) + "\n")


QUESTIONS = {"/live": lives, "/ready": serves}

if __name__ == "__main__":
    try:
        report()
    except OSError as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
