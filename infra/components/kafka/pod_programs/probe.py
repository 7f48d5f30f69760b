"""Queries a Kafka node through the client listener about itself and its cluster; for probes and `esq status`.

It implements the few requests it needs, because a JVM client would take one second and 100 MiB for each
query. Mounted into the pod as a file: it imports the standard library only.

    probe.py        prints metadata and quorum as JSON

The kubelet's probes are served by `probe_server.py` in the same pod, from `CHECKS`.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 4.0
"""Timeout of the connection and of each response."""
PORT = 9092
CA_FILE = "/etc/esq/tls/ca.crt"

_METADATA, _HANDSHAKE, _AUTHENTICATE, _QUORUM = 3, 17, 36, 55
_NO_LEADER = -1


class NotReadyError(OSError):
    """The node is not ready, which counts as unreachable; the message is the reason."""


@dataclass(frozen=True)
class Partition:
    """A partition as known by this node.

    Attributes:
        topic: name of the topic.
        number: number of the partition.
        leader: id of the leading broker; -1 if there is none.
        replicas: ids of the brokers with a replica.
        in_sync: ids of the brokers with an in-sync replica.
    """

    topic: str
    number: int
    leader: int
    replicas: list[int]
    in_sync: list[int]


@dataclass(frozen=True)
class Metadata:
    """Ids of the brokers that are not fenced, and all partitions."""

    brokers: list[int]
    partitions: list[Partition]


@dataclass(frozen=True)
class Voter:
    """A controller and its lag in records."""

    number: int
    lag_records: int


@dataclass(frozen=True)
class Quorum:
    """The metadata quorum: id of the leader and all voters."""

    leader: int
    voters: list[Voter]


class ProtocolReader:
    """Decodes Kafka's primitive types from the front of a response.

    Args:
        data: the response.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def read_number(self, struct_format: str) -> int:
        """Return the next number; the format is a letter of `struct`."""
        value: int = struct.unpack_from(f">{struct_format}", self.data, self.offset)[0]
        self.offset += struct.calcsize(f">{struct_format}")
        return value

    def read_string(self) -> str | None:
        """Return the next nullable string; None for null."""
        return self.read_text(self.read_number("h"))

    def read_text(self, length: int) -> str | None:
        """Return the next `length` bytes as text; None if `length` is negative."""
        if length < 0:
            return None
        self.offset += length
        return self.data[self.offset - length : self.offset].decode()

    def read_varint(self) -> int:
        """Return the next unsigned variable-length integer."""
        value = shift = 0
        while True:
            byte = self.data[self.offset]
            self.offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the high bit marks continuation
                return value
            shift += 7

    def skip_tags(self) -> None:
        """Skip the tagged fields."""
        for _ in range(self.read_varint()):
            self.read_varint()
            self.offset += self.read_varint()

    def read_int_array(self) -> list[int]:
        """Return the next array of 32-bit integers."""
        return [self.read_number("i") for _ in range(self.read_number("i"))]


class Client:
    """A connection, used as a context manager; `login` must be called before any query.

    Args:
        host: host of the node.
        port: port of the client listener.
        ca_file: file with the CA certificate.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, ca_file: str = CA_FILE) -> None:
        plain = socket.create_connection((host, port), TIMEOUT_SECONDS)
        self.stream = _context(ca_file).wrap_socket(plain, server_hostname=host)
        self.correlation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def login(self, user: str, password: str) -> None:
        """Log in with SASL PLAIN.

        Args:
            user: name of the user.
            password: its password.

        Raises:
            NotReadyError: the node rejects the login.
        """
        if self.call(_HANDSHAKE, 1, _string("PLAIN")).read_number("h"):
            raise NotReadyError("the node does not support PLAIN")
        token = f"\0{user}\0{password}".encode()
        response = self.call(_AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        if response.read_number("h"):
            raise NotReadyError(f"login refused: {response.read_string()}")

    def call(self, key: int, version: int, body: bytes, *, flexible: bool = False) -> ProtocolReader:
        """Send a request and receive its response.

        Args:
            key: API key of the request.
            version: API version of the request.
            body: encoded request body.
            flexible: whether request and response have tagged fields.

        Returns:
            A reader of the response, positioned after the header.
        """
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + _string("esq-probe")
        message = header + (b"\0" if flexible else b"") + body
        self.stream.sendall(struct.pack(">i", len(message)) + message)
        (length,) = struct.unpack(">i", self._receive(4))
        reader = ProtocolReader(self._receive(length))
        reader.read_number("i")
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
        """Query the brokers and the partitions of all topics (Metadata, version 1).

        Returns:
            Brokers and partitions.
        """
        response = self.call(_METADATA, 1, struct.pack(">i", -1))
        brokers = []
        for _ in range(response.read_number("i")):
            brokers.append(response.read_number("i"))
            response.read_string()
            response.read_number("i")
            response.read_string()
        response.read_number("i")
        partitions = [
            partition for _ in range(response.read_number("i")) for partition in _partitions(response)
        ]
        return Metadata(sorted(brokers), partitions)

    def quorum(self) -> Quorum:
        """Query the active controller's quorum through this node (DescribeQuorum, version 1).

        Returns:
            The quorum.

        Raises:
            NotReadyError: the node cannot answer for the quorum.
        """
        name = b"__cluster_metadata"
        body = b"\2" + bytes([len(name) + 1]) + name + b"\2" + struct.pack(">i", 0) + b"\0" + b"\0" + b"\0"
        response = self.call(_QUORUM, 1, body, flexible=True)
        if error := response.read_number("h"):
            raise NotReadyError(f"no answer from the quorum (error {error})")
        response.read_varint()
        response.read_text(response.read_varint() - 1)
        response.read_varint()
        response.read_number("i")
        if error := response.read_number("h"):
            raise NotReadyError(f"no answer from the quorum (error {error})")
        leader = response.read_number("i")
        response.read_number("i")
        response.read_number("q")
        return Quorum(leader, _voters(response))


@cache
def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def _string(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _partitions(response: ProtocolReader) -> list[Partition]:
    response.read_number("h")
    topic = response.read_string() or ""
    response.read_number("b")
    partitions = []
    for _ in range(response.read_number("i")):
        response.read_number("h")
        number, leader = response.read_number("i"), response.read_number("i")
        replicas, in_sync = response.read_int_array(), response.read_int_array()
        partitions.append(Partition(topic, number, leader, replicas, in_sync))
    return partitions


def _voters(response: ProtocolReader) -> list[Voter]:
    states = []
    for _ in range(response.read_varint() - 1):
        number, end, _last_fetch, _last_caught_up = (response.read_number(letter) for letter in "iqqq")
        response.skip_tags()
        states.append((number, end))
    last = max(end for _, end in states)
    return [Voter(number, last - end) for number, end in states]


def readiness_problem(node_id: int, metadata: Metadata, quorum: Quorum) -> str | None:
    """Return why a node is not ready; None if it is.

    Args:
        node_id: id of the node.
        metadata: brokers and partitions.
        quorum: metadata quorum.
    """
    if quorum.leader == _NO_LEADER:
        return "the quorum has no leader"
    if node_id not in metadata.brokers:
        return "fenced, or not registered yet"
    lagging = [
        partition
        for partition in metadata.partitions
        if node_id in partition.replicas and node_id not in partition.in_sync
    ]
    if lagging:
        return f"catching up on {len(lagging)} partitions, e.g. {lagging[0].topic}-{lagging[0].number}"
    return None


@contextmanager
def _logged_in() -> Iterator[Client]:
    with Client() as client:
        client.login(os.environ["ESQ_KAFKA_USER"], os.environ["ESQ_KAFKA_PASSWORD"])
        yield client


def check_liveness() -> str | None:
    """Return None if the node accepts the login of a client.

    Raises:
        OSError: it does not.
    """
    with _logged_in():
        return None


def check_readiness() -> str | None:
    """Return why the node is not ready; None if it is.

    It is ready if the quorum has a leader, the node is registered and not fenced, and all its replicas are in
    sync.

    Raises:
        OSError: the node does not answer.
    """
    with _logged_in() as client:
        metadata, quorum = client.metadata(), client.quorum()
    return readiness_problem(_node_id(), metadata, quorum)


def render_metrics(node_id: int, metadata: Metadata, quorum: Quorum, seconds: float) -> str:
    """Return the metrics of a node, as it knows its cluster, in the text format of Prometheus.

    Args:
        node_id: id of the node.
        metadata: brokers and partitions.
        quorum: metadata quorum.
        seconds: duration of connection, login and both queries.
    """
    led = [partition for partition in metadata.partitions if partition.leader == node_id]
    values = {
        "kafka_up": 1,
        "kafka_brokers": len(metadata.brokers),
        "kafka_partitions": len(metadata.partitions),
        "kafka_offline_partitions": sum(item.leader == _NO_LEADER for item in metadata.partitions),
        "kafka_led_partitions": len(led),
        "kafka_under_replicated_partitions": sum(len(item.in_sync) < len(item.replicas) for item in led),
        "kafka_active_controller": int(quorum.leader == node_id),
        "kafka_request_seconds": round(seconds, 6),
    }
    lines = [f"{name} {value}" for name, value in values.items()]
    lines += [
        f'kafka_quorum_voter_lag_records{{voter="{voter.number}"}} {voter.lag_records}'
        for voter in quorum.voters
    ]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Return the metrics; `kafka_up 0` alone if the node does not answer."""
    started = time.monotonic()
    try:
        with _logged_in() as client:
            metadata, quorum = client.metadata(), client.quorum()
    except OSError:
        return "kafka_up 0\n"
    return render_metrics(_node_id(), metadata, quorum, time.monotonic() - started)


def _node_id() -> int:
    return int(socket.gethostname().rpartition("-")[2])


def print_report() -> None:
    """Print metadata and quorum as JSON."""
    with _logged_in() as client:
        metadata, quorum = client.metadata(), client.quorum()
    sys.stdout.write(json.dumps({"metadata": asdict(metadata), "quorum": asdict(quorum)}) + "\n")


METRICS = metrics
CHECKS = {"/live": check_liveness, "/ready": check_readiness}

if __name__ == "__main__":
    try:
        print_report()
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
