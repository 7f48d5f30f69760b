"""Batching with one batch in flight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chaos.traffic.inflight_batcher import SingleInflightBatcher

if TYPE_CHECKING:
    from chaos.traffic.inflight_batcher import CompletionCallback


class FakeDestination:
    """Stores sent records until the test completes them."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._callbacks: dict[int, CompletionCallback] = {}

    def __call__(self, number: int, callback: CompletionCallback) -> None:
        self.sent.append(number)
        self._callbacks[number] = callback

    def complete(self, number: int, error: Exception | None = None) -> None:
        self._callbacks.pop(number)(error)


async def test_records_are_batched_while_a_batch_is_in_flight() -> None:
    destination = FakeDestination()
    batcher = SingleInflightBatcher(destination)
    futures = [batcher.put(number) for number in range(3)]
    assert destination.sent == [0]
    destination.complete(0)
    assert destination.sent == [0, 1, 2]
    last = batcher.put(3)
    destination.complete(2)
    assert destination.sent == [0, 1, 2]
    destination.complete(1, ValueError("no leader"))
    assert destination.sent == [0, 1, 2, 3]
    destination.complete(3)
    await asyncio.gather(futures[0], futures[2], last)
    with pytest.raises(ValueError, match="no leader"):
        await futures[1]


async def test_cancelled_record_is_not_sent_and_blocks_no_other() -> None:
    destination = FakeDestination()
    batcher = SingleInflightBatcher(destination)
    first, second, third = (batcher.put(number) for number in range(3))
    first.cancel()
    second.cancel()
    assert destination.sent == [0]
    destination.complete(0)
    assert destination.sent == [0, 2]
    destination.complete(2)
    await third
