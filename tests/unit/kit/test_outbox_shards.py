"""Mapping of keys to outbox shards."""

from __future__ import annotations

from services.kit.postgres.outbox import SHARD_COUNT, shard_of


def test_shards_are_stable_and_all_used() -> None:
    assert {shard_of(f"acme/{number}") for number in range(200)} == set(range(SHARD_COUNT))
    assert shard_of("acme/main") == 0
