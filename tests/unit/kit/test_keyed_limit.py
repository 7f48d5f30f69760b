"""Limit of concurrent blocks per key."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import TemporaryError
from services.kit.keyed_limit import KeyedLimit


async def test_same_key_is_exclusive_and_other_keys_proceed() -> None:
    limit, done = KeyedLimit(1), list[str]()
    release_first = asyncio.Event()

    async def enter(key: str, name: str, after: asyncio.Event | None = None) -> None:
        async with limit.acquire(key, 5):
            if after is not None:
                await after.wait()
            done.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(enter("a", "first", release_first))
        group.create_task(enter("a", "second"))
        await group.create_task(enter("b", "other key"))
        assert done == ["other key"]
        release_first.set()
    assert done == ["other key", "first", "second"]


async def test_timeout_raises_temporary_error_and_leaves_place_usable() -> None:
    limit = KeyedLimit(1)
    async with limit.acquire("a", 0.01):
        with pytest.raises(TemporaryError):
            async with limit.acquire("a", 0.01):
                pytest.fail("the limit is exceeded")
    async with limit.acquire("a", 0.01):
        pass


async def test_error_in_block_releases_place() -> None:
    limit = KeyedLimit(1)
    with pytest.raises(ValueError, match="x"):
        async with limit.acquire("a", 0.01):
            raise ValueError("x")
    async with limit.acquire("a", 0.01):
        pass


async def test_limit_admits_so_many_blocks_of_a_key() -> None:
    limit = KeyedLimit(2)
    async with limit.acquire("a", 0.01), limit.acquire("a", 0.01):
        with pytest.raises(TemporaryError):
            async with limit.acquire("a", 0.01):
                pytest.fail("the limit is exceeded")
