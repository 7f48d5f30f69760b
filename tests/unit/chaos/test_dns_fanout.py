"""DNS fan-out: all servers are queried, the first final response is returned, ids are kept apart."""

from __future__ import annotations

import asyncio

from chaos.traffic.dns_fanout import Address, DnsFanout

TIMEOUT_SECONDS = 5


class UdpPeer(asyncio.DatagramProtocol):
    """A loopback socket that stores received datagrams: a client, or the DNS server of a zone."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport
        self.address: Address

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Store the datagram."""
        self.received.put_nowait((data, addr))

    async def get(self) -> tuple[bytes, Address]:
        """Return the next datagram."""
        return await asyncio.wait_for(self.received.get(), TIMEOUT_SECONDS)

    def respond(self, query: tuple[bytes, Address], rcode: int, text: bytes) -> None:
        """Respond to a received query."""
        data, address = query
        self.transport.sendto(data[:2] + bytes([0x81, 0x80 | rcode]) + text, address)


async def open_peer() -> UdpPeer:
    peer = UdpPeer()
    loop = asyncio.get_running_loop()
    peer.transport, _ = await loop.create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", 0))
    peer.address = peer.transport.get_extra_info("sockname")
    return peer


async def close(fanout: DnsFanout, *peers: UdpPeer) -> None:
    fanout.close()
    for peer in peers:
        peer.transport.close()
    await asyncio.sleep(0)  # a transport closes in the next iteration of the event loop


async def test_all_servers_are_queried_and_the_first_final_response_is_returned() -> None:
    servers, client = (await open_peer(), await open_peer()), await open_peer()
    fanout = DnsFanout([server.address for server in servers])
    address = await fanout.listen(("127.0.0.1", 0))
    client.transport.sendto(b"\x12\x34question", address)
    queries = [await server.get() for server in servers]
    assert [data[2:] for data, _ in queries] == [b"question"] * 2
    servers[0].respond(queries[0], 2, b"broken")
    servers[1].respond(queries[1], 0, b"good")
    assert (await client.get())[0] == b"\x12\x34\x81\x80good"
    servers[0].respond(queries[0], 0, b"late")
    client.transport.sendto(b"\x12\x35next", address)
    servers[1].respond(await servers[1].get(), 0, b"next")
    assert (await client.get())[0] == b"\x12\x35\x81\x80next"
    await close(fanout, *servers, client)


async def test_clients_with_the_same_query_id_get_their_own_responses() -> None:
    server, first_client, second_client = await open_peer(), await open_peer(), await open_peer()
    fanout = DnsFanout([server.address])
    address = await fanout.listen(("127.0.0.1", 0))
    first_client.transport.sendto(b"\x00\x01first", address)
    first_query = await server.get()
    second_client.transport.sendto(b"\x00\x01second", address)
    server.respond(await server.get(), 0, b"2")
    server.respond(first_query, 3, b"1")
    assert (await second_client.get())[0] == b"\x00\x01\x81\x802"
    assert (await first_client.get())[0] == b"\x00\x01\x81\x831"
    await close(fanout, server, first_client, second_client)
