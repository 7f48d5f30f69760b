"""Names for the traffic: every zone is asked, the first good answer counts, each client gets its own."""

from __future__ import annotations

import asyncio

from chaos.traffic.names import PORT, Fan


class Wire(asyncio.DatagramTransport):
    """Remembers what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

    def sendto(self, data: bytes, addr: tuple[str, int] | None = None) -> None:  # type: ignore[override]  # one form of it
        assert addr is not None
        self.sent.append((data, addr))


SERVERS = ("10.90.0.11", "10.90.0.12")
ONE, OTHER = ("127.0.0.1", 4001), ("127.0.0.1", 4002)


def fan() -> tuple[Fan, Wire]:
    made, wire = Fan(SERVERS), Wire()
    made.connection_made(wire)
    return made, wire


def answer(question: bytes, rcode: int, text: bytes) -> bytes:
    return question[:2] + bytes([0x81, 0x80 | rcode]) + text


def test_every_zone_is_asked_and_the_first_good_answer_counts() -> None:
    names, wire = fan()
    names.datagram_received(b"\x12\x34question", ONE)
    asked = [data for data, _ in wire.sent]
    assert [address for _, address in wire.sent] == [(server, PORT) for server in SERVERS]
    names.datagram_received(answer(asked[0], 2, b"broken"), (SERVERS[0], PORT))
    assert len(wire.sent) == 2
    names.datagram_received(answer(asked[1], 0, b"good"), (SERVERS[1], PORT))
    names.datagram_received(answer(asked[0], 0, b"late"), (SERVERS[0], PORT))
    assert wire.sent[2:] == [(b"\x12\x34\x81\x80good", ONE)]


def test_two_clients_with_the_same_number_get_their_own_answers() -> None:
    names, wire = fan()
    names.datagram_received(b"\x00\x01first", ONE)
    names.datagram_received(b"\x00\x01second", OTHER)
    first, second = wire.sent[0][0], wire.sent[2][0]
    names.datagram_received(answer(second, 0, b"2"), (SERVERS[0], PORT))
    names.datagram_received(answer(first, 3, b"1"), (SERVERS[0], PORT))
    assert wire.sent[4:] == [(b"\x00\x01\x81\x802", OTHER), (b"\x00\x01\x81\x831", ONE)]
