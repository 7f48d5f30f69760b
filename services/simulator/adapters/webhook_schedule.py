"""Schedule of webhooks in Postgres. See `ports.WebhookSchedule`."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.postgres.named_queries import load_queries
from services.simulator.domain.statuses import WebhookStatus
from services.simulator.ports import ScheduledStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.kit.postgres.database import Database, Transaction

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresWebhookSchedule:
    """See `ports.WebhookSchedule`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresDueWebhooks]:
        """See `ports.WebhookSchedule.begin`."""
        async with self._database.transaction() as transaction:
            yield PostgresDueWebhooks(transaction)


class PostgresDueWebhooks:
    """See `ports.DueWebhooks`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._postponed: list[tuple[float, int, str]] = []

    async def pop(self, limit: int) -> list[ScheduledStatus]:
        """See `ports.DueWebhooks.pop`."""
        rows = await self._transaction.fetch_all(SQL["take_due_webhooks"], row_limit=limit)
        ordered = sorted(rows, key=lambda row: row.due_at)
        return [
            ScheduledStatus(WebhookStatus(*values), row.attempts)
            for row in ordered
            for values in json.loads(row.statuses)
        ]

    async def postpone(self, statuses: Sequence[WebhookStatus], attempts: int, delay_seconds: float) -> None:
        """See `ports.DueWebhooks.postpone`. The statuses of one webhook become one row."""
        self._postponed.append((delay_seconds, attempts, json.dumps(statuses)))

    async def commit(self) -> None:
        """See `ports.DueWebhooks.commit`."""
        if self._postponed:
            await self._transaction.execute(
                SQL["postpone_webhooks"],
                delays=[delay for delay, _, _ in self._postponed],
                attempts=[attempts for _, attempts, _ in self._postponed],
                statuses=[statuses for _, _, statuses in self._postponed],
            )
        await self._transaction.commit()
