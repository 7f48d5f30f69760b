"""Statistics of connections and queued messages in Postgres. See `ports.SendingStatistics`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.postgres.named_queries import load_queries
from services.whatsapp.domain.error_policy import connection_state
from services.whatsapp.domain.sending import ConnectionState, SendingLoad

if TYPE_CHECKING:
    from services.kit.postgres.database import Database

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresSendingStatistics:
    """See `ports.SendingStatistics`. Each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def measure(self) -> SendingLoad:
        """See `ports.SendingStatistics.measure`."""
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(SQL["connection_states"])
            oldest = await transaction.fetch_one(SQL["oldest_due_messages"])
        connections: Counter[ConnectionState] = Counter()
        for row in rows:
            connections[connection_state(row.suspension_code, throttled=row.throttled)] += row.connections
        ages = [float(age) for age in oldest] if oldest else [0.0] * 3
        return SendingLoad(connections, *ages)
