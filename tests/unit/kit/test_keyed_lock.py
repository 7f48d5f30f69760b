"""Lock per key."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import TemporaryError
from services.kit.keyed_lock import KeyedLock


async def test_same_key_is_exclusive_and_other_keys_proceed() -> None:
    lock, done = KeyedLock(), list[str]()
    release_first = asyncio.Event()

    async def hold_lock(key: str, name: str, after: asyncio.Event | None = None) -> None:
        async with lock.acquire(key, 5):
            if after is not None:
                await after.wait()
            done.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(hold_lock("a", "first", release_first))
        group.create_task(hold_lock("a", "second"))
        await group.create_task(hold_lock("b", "other key"))
        assert done == ["other key"]
        release_first.set()
    assert done == ["other key", "first", "second"]


async def test_timeout_raises_temporary_error_and_leaves_lock_usable() -> None:
    lock = KeyedLock()
    async with lock.acquire("a", 0.01):
        with pytest.raises(TemporaryError):
            async with lock.acquire("a", 0.01):
                pytest.fail("the lock is held twice")
    async with lock.acquire("a", 0.01):
        pass


async def test_error_in_block_releases_lock() -> None:
    lock = KeyedLock()
    with pytest.raises(ValueError, match="x"):
        async with lock.acquire("a", 0.01):
            raise ValueError("x")
    async with lock.acquire("a", 0.01):
        pass
