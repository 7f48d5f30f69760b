"""What is due, by looking at every connection. See `ports.Due`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.sql import load_queries
from services.whatsapp.adapters.held import RECOUNT_SECONDS
from services.whatsapp.domain import Turn

if TYPE_CHECKING:
    from services.kit.database import Database

SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


class PostgresDue:
    """One transaction for each look."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, most: int) -> list[Turn]:
        """See `Due`."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["due_connections"], most=most, recount=RECOUNT_SECONDS)
        replies = [Turn(row.company, row.name, replies=True) for row in rows if row.replies]
        return [*replies, *(Turn(row.company, row.name) for row in rows if row.campaigns)]
