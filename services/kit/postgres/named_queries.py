"""Named queries in `.sql` files (`services.contracts.named_queries`); code looks them up by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from services.contracts.named_queries import parse_queries

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import TextClause


def load_queries(file: Path) -> dict[str, TextClause]:
    """Return the queries of a file by name.

    Raises:
        ValueError: a name is duplicated or has no query, or there is SQL before the first name.
    """
    queries = parse_queries(file.read_text(encoding="utf-8"), str(file))
    return {name: text(query) for name, query in queries.items()}
