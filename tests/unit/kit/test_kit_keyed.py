"""One at a time for each key."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import TemporaryError
from services.kit.keyed import KeyedLock


async def test_one_at_a_time_for_a_key_and_others_beside_it() -> None:
    lock, done = KeyedLock(), list[str]()
    first = asyncio.Event()

    async def work(key: str, name: str, after: asyncio.Event | None = None) -> None:
        async with lock.holding(key, 5):
            if after is not None:
                await after.wait()
            done.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(work("a", "first", first))
        group.create_task(work("a", "second"))
        await group.create_task(work("b", "beside"))
        assert done == ["beside"]
        first.set()
    assert done == ["beside", "first", "second"]


async def test_who_waits_too_long_is_told_and_leaves_the_place_to_others() -> None:
    lock = KeyedLock()
    async with lock.holding("a", 0.01):
        with pytest.raises(TemporaryError):
            async with lock.holding("a", 0.01):
                pytest.fail("two hold it")
    async with lock.holding("a", 0.01):
        pass


async def test_a_failure_within_frees_the_key() -> None:
    lock = KeyedLock()
    with pytest.raises(ValueError, match="x"):
        async with lock.holding("a", 0.01):
            raise ValueError("x")
    async with lock.holding("a", 0.01):
        pass
