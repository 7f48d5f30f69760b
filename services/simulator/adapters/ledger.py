"""Storage of the ledger in Postgres. See `ports.LedgerStore`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.postgres.named_queries import load_queries
from services.simulator.domain.statuses import group_by_second

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.kit.postgres.database import Database
    from services.simulator.domain.statuses import PlannedStatus, ReceivedMessage

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresLedgerStore:
    """See `ports.LedgerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, messages: Sequence[tuple[ReceivedMessage, Sequence[PlannedStatus]]]) -> None:
        """See `ports.LedgerStore.save`."""
        received = [message for message, _ in messages]
        async with self._database.transaction() as transaction:
            recorded = await transaction.fetch_all(
                SQL["record_messages"],
                ids=[message.id for message in received],
                client_references=[message.client_reference for message in received],
                numbers=[message.phone_number_id for message in received],
                wamids=[message.wamid for message in received],
                times=[message.received_at for message in received],
            )
            new_ids = {row.id for row in recorded}
            by_second = group_by_second(
                (message, status)
                for message, statuses in messages
                if message.id in new_ids
                for status in statuses
            )
            if by_second:
                await transaction.execute(
                    SQL["schedule_webhooks"],
                    times=list(by_second),
                    statuses=[json.dumps(statuses) for statuses in by_second.values()],
                )
            await transaction.commit()

    async def received_counts(self, client_references: Sequence[str]) -> dict[str, int]:
        """See `ports.LedgerStore.received_counts`."""
        references = list(client_references)
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(SQL["count_received"], client_references=references)
        return dict.fromkeys(references, 0) | {row.client_reference: row.received for row in rows}

    async def receipt_times(self, client_references: Sequence[str]) -> dict[str, list[float]]:
        """See `ports.LedgerStore.receipt_times`."""
        references = list(client_references)
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(SQL["select_receipt_times"], client_references=references)
        times: dict[str, list[float]] = {reference: [] for reference in references}
        for row in rows:
            times[row.client_reference].append(row.received_at.timestamp())
        return times

    async def summary(self) -> Mapping[str, int]:
        """See `ports.LedgerStore.summary`."""
        async with self._database.transaction() as transaction:
            row = await transaction.fetch_one(SQL["ledger_summary"])
        return dict(row._mapping) if row is not None else {}  # noqa: SLF001 - SQLAlchemy's documented way to a dict
