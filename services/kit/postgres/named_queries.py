"""Named queries in `.sql` files: each below a line `-- name: ...`; code looks them up by name.

-- name: campaign_by_id
-- One campaign of the company.
SELECT ... WHERE company = :company AND id = :id
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import TextClause

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(file: Path) -> dict[str, TextClause]:
    """Return the queries of a file by name.

    Raises:
        ValueError: a name is duplicated or has no query, or there is SQL before the first name.
    """
    preamble, *parts = _NAME.split(file.read_text(encoding="utf-8"))
    if any(line and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{file}: a query without a name")
    queries: dict[str, TextClause] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        query = _without_comments(body)
        if name in queries or not query:
            raise ValueError(f"{file}: the name {name} is duplicated or has no query")
        queries[name] = text(query)
    return queries


def _without_comments(body: str) -> str:
    """Remove comment lines: a colon in them would be parsed as a parameter."""
    lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().rstrip(";")
