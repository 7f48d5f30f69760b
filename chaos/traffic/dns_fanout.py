"""DNS fan-out proxy: forwards each query to the DNS servers of all zones, returns the first final response.

A pod uses the DNS server of its own zone, and fails together with it. The traffic clients run on the host and
must not wait for an affected zone: a resolver queries one server after another, one second each, and that
would distort the measurement.

    python -m chaos.traffic.dns_fanout LISTEN_ADDRESS SERVER...
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PORT = 53
_ID_COUNT = 1 << 16
_RCODE_MASK, _FINAL_RCODES = 0x0F, (0, 3)
"""Final response codes: no error, no such name. After any other code another zone may have an answer."""

Address = tuple[str, int]


class _UdpEndpoint(asyncio.DatagramProtocol):
    """One of the two sockets: passes received datagrams to a callback."""

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """See `asyncio.DatagramProtocol.datagram_received`: passes the datagram to the callback."""
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Ignore a server that rejects a query: the other servers receive it as well."""


class DnsFanout:
    """Forwards queries to all servers under new ids; the first final response goes back to the client.

    It uses two sockets, because a socket bound to a loopback address reaches no other address.
    """

    def __init__(self, servers: Sequence[Address]) -> None:
        self._servers = servers
        self._pending: dict[int, tuple[bytes, Address]] = {}
        self._last_id = 0
        self._server_transport: asyncio.DatagramTransport
        self._client_transport: asyncio.DatagramTransport

    async def listen(self, address: Address) -> Address:
        """Listen on an address and return it (port 0 selects a free port)."""
        loop = asyncio.get_running_loop()
        # The network of the zones is local, and the address of the host in it is unknown here.
        self._server_transport, _ = await loop.create_datagram_endpoint(
            lambda: _UdpEndpoint(self._forward_response),
            local_addr=("0.0.0.0", 0),  # noqa: S104 - see above
        )
        self._client_transport, _ = await loop.create_datagram_endpoint(
            lambda: _UdpEndpoint(self._forward_query), local_addr=address
        )
        host, port = self._client_transport.get_extra_info("sockname")
        return str(host), int(port)

    def close(self) -> None:
        """Close both sockets."""
        self._server_transport.close()
        self._client_transport.close()

    def _forward_query(self, data: bytes, client: Address) -> None:
        self._last_id = (self._last_id + 1) % _ID_COUNT
        self._pending[self._last_id] = (data[:2], client)
        for server in self._servers:
            self._server_transport.sendto(self._last_id.to_bytes(2) + data[2:], server)

    def _forward_response(self, data: bytes, server: Address) -> None:
        query_id = int.from_bytes(data[:2])
        is_final = server in self._servers and data[3] & _RCODE_MASK in _FINAL_RCODES
        if is_final and query_id in self._pending:
            client_id, client = self._pending.pop(query_id)
            self._client_transport.sendto(client_id + data[2:], client)


async def main(listen: str, servers: Sequence[str]) -> None:
    """Serve until standard input ends, which happens when the parent process exits for any reason.

    Args:
        listen: address to listen on.
        servers: addresses of the DNS servers.
    """
    await DnsFanout([(server, PORT) for server in servers]).listen((listen, PORT))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
