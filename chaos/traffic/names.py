"""Names for the traffic: each question goes to the DNS of every zone, and the first good answer counts.

A pod asks the DNS of its own zone, and is gone with it. The traffic runs on the host and must not wait for a
zone that is hurt: a resolver asks one server after another, a second each, and that would be measured.

    python -m chaos.traffic.names LISTEN_ADDRESS SERVER...
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PORT = 53
_IDS = 1 << 16
_RCODE, _GOOD = 0x0F, (0, 3)
"""Of an answer: no error, or no such name. Anything else, another zone may know better."""

Address = tuple[str, int]


class _Side(asyncio.DatagramProtocol):
    """One of the two sockets: hands on what it receives."""

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Hand it on."""
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Pass over a server that refuses: the others were asked as well."""


class Fan:
    """Questions of clients, spread to all servers under our own numbers; the first good answer goes back.

    Two sockets, as what is bound to a loopback address reaches nobody else.
    """

    def __init__(self, servers: Sequence[Address]) -> None:
        self._servers = servers
        self._open: dict[int, tuple[bytes, Address]] = {}
        self._next = 0
        self._inner: asyncio.DatagramTransport
        self._outer: asyncio.DatagramTransport

    async def listen(self, address: Address) -> Address:
        """Serve at this address, and tell it (port 0 takes a free one)."""
        loop = asyncio.get_running_loop()
        # The zones' network is ours, and its address on this host is not known here.
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._answer),
            local_addr=("0.0.0.0", 0),  # noqa: S104 - see above
        )
        self._outer, _ = await loop.create_datagram_endpoint(lambda: _Side(self._ask), local_addr=address)
        host, port = self._outer.get_extra_info("sockname")
        return str(host), int(port)

    def close(self) -> None:
        """Close both sockets."""
        self._inner.close()
        self._outer.close()

    def _ask(self, data: bytes, client: Address) -> None:
        self._next = (self._next + 1) % _IDS
        self._open[self._next] = (data[:2], client)
        for server in self._servers:
            self._inner.sendto(self._next.to_bytes(2) + data[2:], server)

    def _answer(self, data: bytes, server: Address) -> None:
        number = int.from_bytes(data[:2])
        good = server in self._servers and data[3] & _RCODE in _GOOD
        if good and number in self._open:
            original, client = self._open.pop(number)
            self._outer.sendto(original + data[2:], client)


async def main(listen: str, servers: Sequence[str]) -> None:
    """Serve until standard input ends: who wanted it is gone then, by whatever death."""
    await Fan([(server, PORT) for server in servers]).listen((listen, PORT))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
