"""Names for the traffic: every zone is asked, the first good answer counts, each client gets its own."""

from __future__ import annotations

import asyncio

from chaos.traffic.names import Address, Fan

_DEADLINE_S = 5


class Peer(asyncio.DatagramProtocol):
    """A socket on loopback that keeps what it receives: a client, or a zone's DNS."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport
        self.address: Address

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Keep it."""
        self.received.put_nowait((data, addr))

    async def get(self) -> tuple[bytes, Address]:
        """Take the next datagram, within the deadline."""
        return await asyncio.wait_for(self.received.get(), _DEADLINE_S)

    def answer(self, question: tuple[bytes, Address], rcode: int, text: bytes) -> None:
        """Answer a question that was received."""
        data, asker = question
        self.transport.sendto(data[:2] + bytes([0x81, 0x80 | rcode]) + text, asker)


async def peer() -> Peer:
    made = Peer()
    loop = asyncio.get_running_loop()
    made.transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    made.address = made.transport.get_extra_info("sockname")
    return made


async def close(names: Fan, *peers: Peer) -> None:
    names.close()
    for one in peers:
        one.transport.close()
    await asyncio.sleep(0)  # a transport closes in the loop's next turn


async def test_every_zone_is_asked_and_the_first_good_answer_counts() -> None:
    servers, client = (await peer(), await peer()), await peer()
    names = Fan([server.address for server in servers])
    where = await names.listen(("127.0.0.1", 0))
    client.transport.sendto(b"\x12\x34question", where)
    asked = [await server.get() for server in servers]
    assert [data[2:] for data, _ in asked] == [b"question"] * 2
    servers[0].answer(asked[0], 2, b"broken")
    servers[1].answer(asked[1], 0, b"good")
    assert (await client.get())[0] == b"\x12\x34\x81\x80good"
    servers[0].answer(asked[0], 0, b"late")
    client.transport.sendto(b"\x12\x35next", where)
    servers[1].answer(await servers[1].get(), 0, b"next")
    assert (await client.get())[0] == b"\x12\x35\x81\x80next"
    await close(names, *servers, client)


async def test_two_clients_with_the_same_number_get_their_own_answers() -> None:
    server, one, other = await peer(), await peer(), await peer()
    names = Fan([server.address])
    where = await names.listen(("127.0.0.1", 0))
    one.transport.sendto(b"\x00\x01first", where)
    first = await server.get()
    other.transport.sendto(b"\x00\x01second", where)
    server.answer(await server.get(), 0, b"2")
    server.answer(first, 3, b"1")
    assert (await other.get())[0] == b"\x00\x01\x81\x802"
    assert (await one.get())[0] == b"\x00\x01\x81\x831"
    await close(names, server, one, other)
