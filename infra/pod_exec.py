"""Runs a program in a container through the API server, within a time limit.

The library's own `stream` has no timeout for the connection, so that a frozen API server would block it for
good, and it replaces a method of its client while it runs.
"""

from __future__ import annotations

import json
import ssl
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from websocket import ABNF, WebSocket, WebSocketConnectionClosedException

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kubernetes.client import ApiClient, Configuration

_STDIN, _STDOUT, _STDERR, _STATUS = 0, 1, 2, 3
"""Channels of the protocol: the first byte of each frame."""
_PROTOCOL = "v4.channel.k8s.io"


@dataclass(frozen=True)
class Execution:
    """A program that ended.

    Attributes:
        output: its standard output.
        errors: its standard error.
        problem: reason why it failed or could not be started; empty when it succeeded.
    """

    output: str
    errors: str
    problem: str


def run_in_container(
    api: ApiClient, address: tuple[str, str, str], argv: Sequence[str], timeout_seconds: float
) -> Execution:
    """Run a program in a container.

    Args:
        api: the client.
        address: namespace, pod and container.
        argv: program and arguments.
        timeout_seconds: limit for the connection and the program together.

    Returns:
        The program's result.

    Raises:
        WebSocketException: the API server rejects the request, ends the connection early, or the time is up.
        OSError: the API server is unreachable.
    """
    deadline = time.monotonic() + timeout_seconds
    with _connection(api, address, argv, timeout_seconds, ("stdout", "stderr")) as websocket:
        channels = _receive_all(websocket, deadline)
    # A program may print bytes that are no text, e.g. of a log that is cut in the middle of a character.
    output, errors = (channels[channel].decode(errors="replace") for channel in (_STDOUT, _STDERR))
    return Execution(output, errors, _problem(channels[_STATUS]))


class Dialogue:
    """A program in a container that answers each line of its standard input with a line.

    Args:
        api: the client.
        address: namespace, pod and container.
        argv: program and arguments.
        timeout_seconds: limit for the connection, and for each answer.
    """

    def __init__(
        self, api: ApiClient, address: tuple[str, str, str], argv: Sequence[str], timeout_seconds: float
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._stack = ExitStack()
        connection = _connection(api, address, argv, timeout_seconds, ("stdin", "stdout"))
        self._websocket = self._stack.enter_context(connection)
        self._output = bytearray()

    def exchange_line(self, line: str = "") -> str:
        """Send a line and return the next line of the program.

        Raises:
            WebSocketException: the program has ended, or does not answer in time.
            OSError: the API server is unreachable.
        """
        deadline = time.monotonic() + self._timeout_seconds
        self._websocket.send(bytes([_STDIN]) + line.encode() + b"\n", ABNF.OPCODE_BINARY)
        while b"\n" not in self._output:
            self._websocket.settimeout(max(deadline - time.monotonic(), 0.001))
            opcode, frame = self._websocket.recv_data()
            if opcode == ABNF.OPCODE_CLOSE:
                raise WebSocketConnectionClosedException("the program has ended")
            self._output += frame[1:] if frame[0] == _STDOUT else b""
        answer, _, self._output = self._output.partition(b"\n")
        return answer.decode(errors="replace")

    def close(self) -> None:
        """End the program: its standard input ends."""
        self._stack.close()


@contextmanager
def _connection(
    api: ApiClient,
    address: tuple[str, str, str],
    argv: Sequence[str],
    timeout_seconds: float,
    streams: Sequence[str],
) -> Iterator[WebSocket]:
    """Start a program in a container and connect some of its standard streams."""
    namespace, pod, container = address
    options = [("container", container), *((stream, "true") for stream in streams)]
    query = urlencode([*options, *(("command", argument) for argument in argv)])
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec?{query}"
    configuration = api.configuration
    websocket = WebSocket(sslopt=_tls_options(configuration))
    try:
        websocket.connect(  # type: ignore[no-untyped-call]  # the library's own annotations are partial
            configuration.host.replace("http", "ws", 1) + path,
            header=_headers(configuration),
            timeout=timeout_seconds,
        )
        yield websocket
    finally:
        websocket.shutdown()  # type: ignore[no-untyped-call]  # same


def _receive_all(websocket: WebSocket, deadline: float) -> dict[int, bytearray]:
    channels: dict[int, bytearray] = defaultdict(bytearray)
    while True:
        websocket.settimeout(max(deadline - time.monotonic(), 0.001))
        opcode, frame = websocket.recv_data()
        if opcode == ABNF.OPCODE_CLOSE:
            return channels
        channels[frame[0]] += frame[1:]


def _problem(status: bytes | bytearray) -> str:
    document = json.loads(status or b'{"message": "the connection ended before the program"}')
    return "" if document.get("status") == "Success" else str(document.get("message", document))


def _headers(configuration: Configuration) -> list[str]:
    token = configuration.get_api_key_with_prefix("authorization")
    headers = [f"sec-websocket-protocol: {_PROTOCOL}"]
    return [*headers, f"authorization: {token}"] if token else headers


def _tls_options(configuration: Configuration) -> dict[str, object]:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return {"context": context, "server_hostname": configuration.tls_server_name}
