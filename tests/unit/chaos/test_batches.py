"""Records on their way to one place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chaos.traffic.batches import Batches

if TYPE_CHECKING:
    from chaos.traffic.batches import Settled


class Place:
    """Keeps what is sent until it is told what becomes of it."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._settled: dict[int, Settled] = {}

    def __call__(self, number: int, settled: Settled) -> None:
        self.sent.append(number)
        self._settled[number] = settled

    def answer(self, number: int, error: Exception | None = None) -> None:
        self._settled.pop(number)(error)


async def test_what_comes_meanwhile_is_sent_together_once_all_is_settled() -> None:
    place = Place()
    batches = Batches(place)
    done = [batches.put(number) for number in range(3)]
    assert place.sent == [0]
    place.answer(0)
    assert place.sent == [0, 1, 2]
    last = batches.put(3)
    place.answer(2)
    assert place.sent == [0, 1, 2]
    place.answer(1, ValueError("no leader"))
    assert place.sent == [0, 1, 2, 3]
    place.answer(3)
    await asyncio.gather(done[0], done[2], last)
    with pytest.raises(ValueError, match="no leader"):
        await done[1]


async def test_what_is_given_up_is_not_sent_and_holds_nobody_up() -> None:
    place = Place()
    batches = Batches(place)
    first, second, third = (batches.put(number) for number in range(3))
    first.cancel()
    second.cancel()
    assert place.sent == [0]
    place.answer(0)
    assert place.sent == [0, 2]
    place.answer(2)
    await third
