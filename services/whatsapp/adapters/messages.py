"""Messages in Postgres: requests, replies, and unsent messages that are returned."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.contracts.v1.events_pb2 import PRIORITY_REPLY
from services.contracts.validation import MAX_TEXT_LENGTH
from services.kit.observability import tracing
from services.kit.postgres.named_queries import load_queries
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.messages import MessageOutcome, MessageRecord, ReplyLoad

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from google.protobuf.timestamp_pb2 import Timestamp
    from sqlalchemy import Row

    from services.contracts.v1.events_pb2 import MessageRequested
    from services.kit.postgres.database import Transaction
    from services.whatsapp.commands import SendReply
    from services.whatsapp.domain.messages import MessageKey, RunKey

    Columns = dict[str, list[Any]]

COUNT_LIMIT = 100_000
"""Waiting messages are counted up to here."""
SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresMessageRepository:
    """See `ports.MessageRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def find(self, company: str, message_id: UUID) -> MessageRecord | None:
        """See `ports.MessageRepository.find`."""
        row = await self._transaction.fetch_one(SQL["select_message"], company=company, id=message_id)
        return _record_from_row(row) if row else None

    async def reply_load(self, company: str, connection: str) -> ReplyLoad | None:
        """See `ports.MessageRepository.reply_load`."""
        row = await self._transaction.fetch_one(
            SQL["select_reply_load"],
            company=company,
            connection=connection,
            priority=PRIORITY_REPLY,
            count_limit=COUNT_LIMIT,
        )
        if row is None:
            return None
        return ReplyLoad(row.rate, row.throttle_factor, float(row.suspended_seconds), row.replies_ahead)

    async def add_reply(self, command: SendReply) -> bool:
        """See `ports.MessageRepository.add_reply`."""
        traceparent = tracing.current_traceparent()
        added = await self._transaction.execute(
            SQL["add_reply"],
            company=command.company,
            id=command.message_id,
            connection=command.connection,
            recipient=command.recipient,
            text=command.text,
            priority=PRIORITY_REPLY,
            ttl_seconds=command.ttl_seconds,
            traceparent=traceparent if tracing.is_sampled(traceparent) else None,
        )
        return added == 1

    async def queue_requested(
        self, requests: Mapping[MessageKey, MessageRequested], traceparents: Mapping[MessageKey, str]
    ) -> int:
        """See `ports.MessageRepository.queue_requested`."""
        columns = _request_columns(requests)
        columns["traceparents"] = [traceparents.get(key) for key in sorted(requests)]
        return await self._transaction.execute(SQL["store_requested"], **columns)

    async def list_outcomes(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """See `ports.MessageRepository.list_outcomes`."""
        rows = await self._transaction.fetch_all(SQL["select_message_states"], **_key_columns(keys))
        return [
            MessageOutcome(
                row.company,
                row.message_id,
                row.campaign_id,
                MessageState(row.state),
                provider_id=row.provider_id,
                code=row.code,
                reason=row.reason,
                run=row.run,
            )
            for row in rows
        ]

    async def halt_runs(self, runs: Mapping[RunKey, int]) -> None:
        """See `ports.MessageRepository.halt_runs`."""
        keys = sorted(runs)
        await self._transaction.execute(
            SQL["halt_runs"],
            companies=[company for company, _, _ in keys],
            campaigns=[campaign for _, campaign, _ in keys],
            connections=[connection for _, _, connection in keys],
            runs=[runs[key] for key in keys],
        )

    async def return_if_halted(self, keys: Iterable[MessageKey]) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_if_halted`."""
        rows = await self._transaction.fetch_all(SQL["return_if_halted"], **_key_columns(keys))
        return [_returned_from_row(row) for row in rows]

    async def return_halted(self, limit: int) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_halted`."""
        rows = await self._transaction.fetch_all(SQL["return_halted"], batch_size=limit)
        return [_returned_from_row(row) for row in rows]

    async def return_expired(self, limit: int) -> list[MessageOutcome]:
        """See `ports.MessageRepository.return_expired`."""
        rows = await self._transaction.fetch_all(SQL["return_expired"], batch_size=limit)
        return [_returned_from_row(row) for row in rows]

    async def expire_leases(self, limit: int, reason: str) -> list[MessageOutcome]:
        """See `ports.MessageRepository.expire_leases`."""
        rows = await self._transaction.fetch_all(
            SQL["mark_expired_uncertain"], batch_size=limit, reason=reason
        )
        return [
            MessageOutcome(
                row.company, row.message_id, row.campaign_id, MessageState.UNCERTAIN, reason=reason
            )
            for row in rows
        ]


def _record_from_row(row: Row[Any]) -> MessageRecord:
    return MessageRecord(
        connection=row.connection,
        recipient=row.recipient,
        text=row.text,
        state=MessageState(row.state),
        code=row.code,
        reason=row.reason,
        requested_at=row.requested_at,
        accepted_at=row.accepted_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        read_at=row.read_at,
        failed_at=row.failed_at,
    )


def _returned_from_row(row: Row[Any]) -> MessageOutcome:
    return MessageOutcome(row.company, row.message_id, row.campaign_id, MessageState(row.state), run=row.run)


def _key_columns(keys: Iterable[MessageKey]) -> Columns:
    ordered = sorted(keys)
    return {
        "companies": [company for company, _ in ordered],
        "ids": [message_id for _, message_id in ordered],
    }


def _request_columns(requests: Mapping[MessageKey, MessageRequested]) -> Columns:
    """Return the columns, ordered by key everywhere so that two workers never deadlock."""
    keys = sorted(requests)
    rows = [requests[key] for key in keys]
    if any(len(row.text) > MAX_TEXT_LENGTH for row in rows):
        raise ValueError(f"a text is longer than {MAX_TEXT_LENGTH} characters")
    return {
        **_key_columns(keys),
        "campaigns": [row.campaign_id for row in rows],
        "contacts": [row.contact_id for row in rows],
        "connections": [row.connection for row in rows],
        "recipients": [row.to for row in rows],
        "texts": [row.text for row in rows],
        "runs": [row.run for row in rows],
        "priorities": [row.priority for row in rows],
        "send_befores": [_datetime(row.send_before) if row.HasField("send_before") else None for row in rows],
        "expiries": [_datetime(row.expires_at) if row.HasField("expires_at") else None for row in rows],
    }


def _datetime(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)
