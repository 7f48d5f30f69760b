"""Delivery states of messages in Postgres: resolved from webhook statuses, locked, saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.postgres.named_queries import load_queries
from services.whatsapp.domain.message_states import DeliveryState, DeliveryStatus, MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from services.kit.postgres.database import Transaction
    from services.whatsapp.domain.messages import MessageKey
    from services.whatsapp.domain.webhooks import WebhookStatus

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresDeliveryStateRepository:
    """See `ports.DeliveryStateRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def resolve(self, statuses: Sequence[WebhookStatus]) -> dict[int, MessageKey]:
        """See `ports.DeliveryStateRepository.resolve`."""
        referenced = [(index, status) for index, status in enumerate(statuses) if status.client_reference]
        rows = await self._transaction.fetch_all(
            SQL["resolve_webhook_statuses"],
            ordinals=[index for index, _ in referenced],
            numbers=[status.phone_number_id for _, status in referenced],
            client_references=[status.client_reference for _, status in referenced],
        )
        return {row.ordinal: (row.company, row.message_id) for row in rows}

    async def lock(self, keys: Iterable[MessageKey]) -> dict[MessageKey, DeliveryState]:
        """See `ports.DeliveryStateRepository.lock`."""
        ordered = sorted(set(keys))
        rows = await self._transaction.fetch_all(
            SQL["lock_delivery_states"],
            companies=[company for company, _ in ordered],
            ids=[message_id for _, message_id in ordered],
        )
        return {(row.company, row.message_id): _state_from_row(row) for row in rows}

    async def save(self, states: Sequence[DeliveryState]) -> None:
        """See `ports.DeliveryStateRepository.save`."""
        if not states:
            return
        await self._transaction.execute(
            SQL["save_delivery_states"],
            companies=[state.company for state in states],
            ids=[state.message_id for state in states],
            states=[state.state.value for state in states],
            provider_ids=[state.provider_id for state in states],
            codes=[state.code for state in states],
            sent=[state.status_times.get(DeliveryStatus.SENT) for state in states],
            delivered=[state.status_times.get(DeliveryStatus.DELIVERED) for state in states],
            read=[state.status_times.get(DeliveryStatus.READ) for state in states],
            failed=[state.status_times.get(DeliveryStatus.FAILED) for state in states],
        )


def _state_from_row(row: Row[Any]) -> DeliveryState:
    times = {
        DeliveryStatus.SENT: row.sent_at,
        DeliveryStatus.DELIVERED: row.delivered_at,
        DeliveryStatus.READ: row.read_at,
        DeliveryStatus.FAILED: row.failed_at,
    }
    return DeliveryState(
        company=row.company,
        message_id=row.message_id,
        campaign_id=row.campaign_id,
        state=MessageState(row.state),
        provider_id=row.provider_id,
        code=row.code,
        status_times={status: time for status, time in times.items() if time is not None},
        attempt_age_seconds=None if row.attempt_age_seconds is None else float(row.attempt_age_seconds),
        traceparent=row.traceparent or "",
    )
