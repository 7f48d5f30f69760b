"""Unit of work in Postgres, with the repositories of connections and webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.kit.observability import tracing
from services.kit.postgres.inbox import PostgresInbox
from services.kit.postgres.named_queries import load_queries
from services.kit.postgres.outbox import PostgresOutbox
from services.kit.postgres.unit_of_work import TransactionalFactory
from services.whatsapp.adapters.delivery_states import PostgresDeliveryStateRepository
from services.whatsapp.adapters.messages import COUNT_LIMIT, PostgresMessageRepository
from services.whatsapp.domain.connections import ConnectionDetails
from services.whatsapp.domain.webhooks import PendingWebhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.kit.postgres.database import Transaction
    from services.kit.postgres.inbox import Inbox
    from services.kit.postgres.outbox import Outbox
    from services.whatsapp.commands import PutConnection
    from services.whatsapp.ports import (
        ConnectionRepository,
        DeliveryStateRepository,
        MessageRepository,
        WebhookRepository,
    )

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresUnitOfWork:
    """See `ports.UnitOfWork`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.connections: ConnectionRepository = PostgresConnectionRepository(transaction)
        self.messages: MessageRepository = PostgresMessageRepository(transaction)
        self.delivery_states: DeliveryStateRepository = PostgresDeliveryStateRepository(transaction)
        self.webhooks: WebhookRepository = PostgresWebhookRepository(transaction)
        self.inbox: Inbox = PostgresInbox(transaction)
        self.outbox: Outbox = PostgresOutbox(transaction)

    async def commit(self) -> None:
        """Commit the transaction. On error the outcome is unknown."""
        await self._transaction.commit()


class PostgresUnitOfWorkFactory(TransactionalFactory[PostgresUnitOfWork]):
    """See `ports.UnitOfWorkFactory`."""

    def bind(self, transaction: Transaction) -> PostgresUnitOfWork:
        """Return the repositories in a transaction."""
        return PostgresUnitOfWork(transaction)


class PostgresConnectionRepository:
    """See `ports.ConnectionRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def assign_number(self, phone_number_id: str, company: str) -> str | None:
        """See `ports.ConnectionRepository.assign_number`."""
        row = await self._transaction.fetch_one(
            SQL["assign_phone_number"], number=phone_number_id, company=company
        )
        return row.company if row else None

    async def put(self, command: PutConnection) -> None:
        """See `ports.ConnectionRepository.put`."""
        await self._transaction.execute(
            SQL["put_connection"],
            company=command.company,
            name=command.name,
            number=command.phone_number_id,
            rate=command.messages_per_second,
            recipients_per_day=command.recipients_per_day,
            keep_quota=command.keep_quota,
        )

    async def find(self, company: str, name: str) -> ConnectionDetails | None:
        """See `ports.ConnectionRepository.find`."""
        row = await self._transaction.fetch_one(
            SQL["select_connection"], company=company, name=name, count_limit=COUNT_LIMIT
        )
        if row is None:
            return None
        return ConnectionDetails(
            phone_number_id=row.phone_number_id,
            messages_per_second=row.rate,
            recipients_per_day=row.recipients_per_day,
            throttle_factor=row.throttle_factor,
            suspended_until=row.suspended_until,
            recipients_last_24h=row.recipients_last_24h,
            pending_messages=row.pending_messages,
        )

    async def purge_daily_recipients(self) -> int:
        """See `ports.ConnectionRepository.purge_daily_recipients`."""
        return await self._transaction.execute(SQL["purge_daily_recipients"])


class PostgresWebhookRepository:
    """See `ports.WebhookRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def store(self, body: bytes) -> None:
        """See `ports.WebhookRepository.store`."""
        await self._transaction.execute(
            SQL["store_webhook"], body=body, traceparent=tracing.current_traceparent()
        )

    async def lock_pending(self, limit: int) -> list[PendingWebhook]:
        """See `ports.WebhookRepository.lock_pending`."""
        rows = await self._transaction.fetch_all(SQL["lock_pending_webhooks"], batch_size=limit)
        return [PendingWebhook(row.id, row.body, row.traceparent) for row in rows]

    async def oldest_pending_age_seconds(self) -> float:
        """See `ports.WebhookRepository.oldest_pending_age_seconds`."""
        row = await self._transaction.fetch_one(SQL["oldest_pending_webhook"])
        return float(row.age_seconds) if row else 0.0

    async def mark_processed(self, parse_errors: Mapping[int, str | None]) -> None:
        """See `ports.WebhookRepository.mark_processed`."""
        await self._transaction.execute(
            SQL["mark_webhooks_processed"],
            ids=list(parse_errors),
            parse_errors=list(parse_errors.values()),
        )

    async def purge(self, retention_seconds: float) -> int:
        """See `ports.WebhookRepository.purge`."""
        return await self._transaction.execute(SQL["purge_webhooks"], retention_seconds=retention_seconds)
