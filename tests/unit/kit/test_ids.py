"""UUIDv7 identifiers."""

from __future__ import annotations

from services.kit.ids import uuid7


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [uuid7() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert ids[0].version == 7
