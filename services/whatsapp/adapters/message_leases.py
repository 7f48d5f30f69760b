"""Message leases in Postgres. See `ports.MessageLeases`.

These rules prevent that a message is sent twice:
- a lease commits before the call, and every leased message may have been sent;
- a lease raises the message's epoch, and a write with an older epoch changes nothing;
- a leased message returns to the queue only by a definite "not accepted" of that very attempt.
A result is valid even after the sweeper has marked the attempt uncertain: no other attempt was possible.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.postgres.named_queries import load_queries
from services.kit.postgres.outbox import PostgresOutbox
from services.whatsapp.adapters.locked_connections import lock_connections, save_limits
from services.whatsapp.domain.rate_limit import MIN_THROTTLE_FACTOR, allocate_fairly
from services.whatsapp.domain.sending import LeasedMessage, LeaseResult
from services.whatsapp.events import count_states, from_attempt, to_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.postgres.database import Database, Transaction
    from services.whatsapp.adapters.locked_connections import LockedConnection
    from services.whatsapp.domain.sending import AttemptResult, ReadyConnection
    from services.whatsapp.settings import DispatcherSettings

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresMessageLeases:
    """See `ports.MessageLeases`. Each call is one transaction."""

    def __init__(self, database: Database, settings: DispatcherSettings) -> None:
        self._database = database
        self._default_rate = settings.messages_per_second
        self._lease_seconds = settings.attempt_timeout_seconds + settings.result_grace_seconds

    async def lease(self, connections: Sequence[ReadyConnection], limit: int) -> LeaseResult:
        """See `ports.MessageLeases.lease`."""
        async with self._database.transaction() as transaction:
            locked = await lock_connections(transaction, connections, self._default_rate)
            shares = allocate_fairly([connection.available for connection in locked], limit)
            rows = await self._lease_messages(transaction, locked, shares)
            await save_limits(transaction, locked, rows)
            await transaction.commit()
        leased = Counter((row.company, row.connection) for row in rows)
        requeue = [
            entry
            for connection, share in zip(locked, shares, strict=True)
            for entry in connection.requeue(share, leased[connection.key])
        ]
        # The row order depends on the query plan; calls with the highest priority are made first.
        by_priority = sorted(rows, key=lambda row: row.priority, reverse=True)
        return LeaseResult([_leased_message_from_row(row) for row in by_priority], requeue)

    async def _lease_messages(
        self, transaction: Transaction, locked: Sequence[LockedConnection], shares: Sequence[int]
    ) -> Sequence[Row[Any]]:
        if not any(shares):
            return []
        return await transaction.fetch_all(
            SQL["lease_messages"],
            companies=[connection.row.company for connection in locked],
            connections=[connection.row.name for connection in locked],
            numbers=[connection.row.phone_number_id for connection in locked],
            shares=list(shares),
            min_priorities=[connection.priority_range[0] for connection in locked],
            max_priorities=[connection.priority_range[1] for connection in locked],
            lease_seconds=self._lease_seconds,
        )

    async def record_results(self, results: Sequence[AttemptResult]) -> int:
        """See `ports.MessageLeases.record_results`."""
        updates = [result.decision.update for result in results]
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch_all(
                SQL["save_attempt_results"],
                **_lease_columns([result.message for result in results]),
                states=[update.state.value for update in updates],
                provider_ids=[update.provider_id for update in updates],
                codes=[update.code for update in updates],
                reasons=[update.reason for update in updates],
                delays=[update.delay_seconds for update in updates],
            )
            saved_keys = {(row.company, row.message_id) for row in rows}
            saved = [
                result
                for result in results
                if (result.message.company, result.message.message_id) in saved_keys
            ]
            events = to_events(update for result in saved if (update := from_attempt(result)))
            await PostgresOutbox(transaction).add(events)
            await _throttle_connections(transaction, results)
            await _suspend_connections(transaction, results)
            await transaction.commit()
        count_states(result.decision.update.state for result in saved)
        return len(saved)


def _leased_message_from_row(row: Row[Any]) -> LeasedMessage:
    return LeasedMessage(
        company=row.company,
        message_id=row.message_id,
        campaign_id=row.campaign_id,
        phone_number_id=row.phone_number_id,
        connection=row.connection,
        recipient=row.recipient,
        text=row.text,
        epoch=row.epoch,
        attempts=row.attempts,
        waited_seconds=float(row.waited_seconds),
        traceparent=row.traceparent or "",
    )


def _lease_columns(messages: Sequence[LeasedMessage]) -> dict[str, list[Any]]:
    return {
        "companies": [message.company for message in messages],
        "ids": [message.message_id for message in messages],
        "epochs": [message.epoch for message in messages],
    }


async def _throttle_connections(transaction: Transaction, results: Sequence[AttemptResult]) -> None:
    """Throttle connections with rate limit errors, each once."""
    keys = sorted({_connection_key(result) for result in results if result.decision.throttle})
    if keys:
        await transaction.execute(
            SQL["throttle_connections"],
            companies=[company for company, _ in keys],
            names=[name for _, name in keys],
            min_factor=MIN_THROTTLE_FACTOR,
        )


async def _suspend_connections(transaction: Transaction, results: Sequence[AttemptResult]) -> None:
    """Suspend connections whose credential, account or number is rejected, each for the longest time."""
    suspensions: dict[tuple[str, str], tuple[float, int]] = {}
    for result in results:
        if result.decision.suspend_seconds:
            key, code = _connection_key(result), result.decision.update.code or 0
            suspensions[key] = max((result.decision.suspend_seconds, code), suspensions.get(key, (0.0, 0)))
    if suspensions:
        keys = sorted(suspensions)
        await transaction.execute(
            SQL["suspend_connections"],
            companies=[company for company, _ in keys],
            names=[name for _, name in keys],
            seconds=[suspensions[key][0] for key in keys],
            codes=[suspensions[key][1] for key in keys],
        )


def _connection_key(result: AttemptResult) -> tuple[str, str]:
    return result.message.company, result.message.connection
