"""Connections with due messages, found in Postgres. See `ports.ReadyConnections`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.postgres.named_queries import load_queries
from services.whatsapp.adapters.locked_connections import QUOTA_RECOUNT_INTERVAL_SECONDS
from services.whatsapp.domain.sending import ReadyConnection

if TYPE_CHECKING:
    from services.kit.postgres.database import Database

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresReadyConnections:
    """See `ports.ReadyConnections`. Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_ready(self, limit: int) -> list[ReadyConnection]:
        """See `ports.ReadyConnections.list_ready`."""
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(
                SQL["connections_with_due_messages"],
                row_limit=limit,
                recount=QUOTA_RECOUNT_INTERVAL_SECONDS,
            )
        replies = [ReadyConnection(row.company, row.name, replies=True) for row in rows if row.replies]
        return [*replies, *(ReadyConnection(row.company, row.name) for row in rows if row.campaigns)]
