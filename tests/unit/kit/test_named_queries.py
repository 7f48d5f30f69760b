"""Named queries in `.sql` files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.kit.postgres.named_queries import load_queries

if TYPE_CHECKING:
    from pathlib import Path


def test_queries_are_loaded_by_name(tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text(
        "-- All: here.\n\n-- name: one\n-- What it does: this.\nSELECT :a;\n\n-- name: two\nSELECT 2\n"
    )
    queries = load_queries(file)
    assert {name: str(query) for name, query in queries.items()} == {
        "one": "/* one */ SELECT :a",
        "two": "/* two */ SELECT 2",
    }


@pytest.mark.parametrize(
    "text", ["SELECT 1\n", "-- name: a\n\n-- name: b\nSELECT 1\n", "-- name: a\nSELECT 1\n" * 2]
)
def test_unnamed_empty_and_duplicate_queries_are_rejected(tmp_path: Path, text: str) -> None:
    file = tmp_path / "q.sql"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"q\.sql"):
        load_queries(file)
