"""Format of the `.sql` files of services: each query is below a line `-- name: ...`.

-- name: campaign_by_id
-- One campaign of the company.
SELECT ... WHERE company = :company AND id = :id
"""

from __future__ import annotations

import re

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse_queries(content: str, source: str) -> dict[str, str]:
    """Return the queries of a file by name, each with its name as a comment.

    The comment shows the name in the log of the server, in `pg_stat_activity` and in `pg_stat_statements`.

    Args:
        content: content of the file.
        source: path of the file, for errors.

    Raises:
        ValueError: a name is duplicated or has no query, or there is SQL before the first name.
    """
    preamble, *parts = _NAME.split(content)
    if any(line and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{source}: a query without a name")
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        query = _without_comments(body)
        if name in queries or not query:
            raise ValueError(f"{source}: the name {name} is duplicated or has no query")
        queries[name] = f"/* {name} */ {query}"
    return queries


def _without_comments(body: str) -> str:
    """Remove comment lines: a colon in them would be parsed as a parameter."""
    lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().rstrip(";")
