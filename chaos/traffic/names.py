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
    from collections.abc import Sequence

PORT = 53
_IDS = 1 << 16
_RCODE, _GOOD = 0x0F, (0, 3)
"""Of an answer: no error, or no such name. Anything else, another zone may know better."""

Address = tuple[str, int]


class Fan(asyncio.DatagramProtocol):
    """Questions of clients, spread to all servers under our own numbers; the first good answer goes back."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = servers
        self._open: dict[int, tuple[bytes, Address]] = {}
        self._next = 0
        self._transports: list[asyncio.DatagramTransport] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what to send by: first the way to the servers, then the way to the clients."""
        if isinstance(transport, asyncio.DatagramTransport):
            self._transports.append(transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Spread a question, or give an answer back."""
        if addr[1] == PORT and addr[0] in self._servers:
            self._answer(data)
        else:
            self._ask(data, addr)

    def _ask(self, data: bytes, client: Address) -> None:
        self._next = (self._next + 1) % _IDS
        self._open[self._next] = (data[:2], client)
        for server in self._servers:
            self._transports[0].sendto(self._next.to_bytes(2) + data[2:], (server, PORT))

    def _answer(self, data: bytes) -> None:
        number = int.from_bytes(data[:2])
        if data[3] & _RCODE in _GOOD and number in self._open:
            original, client = self._open.pop(number)
            self._transports[-1].sendto(original + data[2:], client)

    def error_received(self, exc: Exception) -> None:
        """Pass over a server that refuses: the others were asked as well."""


async def main(listen: str, servers: Sequence[str]) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    fan = Fan(servers)
    # Two ways: what is bound to a loopback address reaches nobody else.
    await loop.create_datagram_endpoint(lambda: fan, local_addr=("0.0.0.0", 0))  # noqa: S104 - the zones' network is ours
    await loop.create_datagram_endpoint(lambda: fan, local_addr=(listen, PORT))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
