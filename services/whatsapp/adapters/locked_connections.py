"""Connections locked while one dispatcher leases from them: token buckets, quotas, priorities.

A dispatcher that has locked a connection's row may lease from it. It saves the new limits in the same
transaction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.postgres.named_queries import load_queries
from services.whatsapp.domain.rate_limit import TokenBucket
from services.whatsapp.domain.sending import ReadyConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Row

    from services.kit.postgres.database import Transaction

QUOTA_RECOUNT_INTERVAL_SECONDS = 60.0
"""The recipients of a connection with a quota are counted this often; in between they are only added up."""
REPLY_PRIORITY = 1
"""Lowest priority of replies, which no quota limits."""
MAX_PRIORITY = 32_767
MIN_REQUEUE_DELAY_SECONDS = 0.02
"""Shortest delay of a connection without tokens: several tokens gather."""
SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class LockedConnection:
    """A locked connection.

    Attributes:
        row: its columns.
        bucket: its token bucket, refilled up to now.
        replies: whether its replies are to be leased.
        campaigns: whether its campaign messages are to be leased, and its quota is not used up.
    """

    row: Row[Any]
    bucket: TokenBucket
    replies: bool
    campaigns: bool

    @classmethod
    def from_row(cls, row: Row[Any], ready: Sequence[ReadyConnection]) -> LockedConnection:
        """Create the connection from its columns.

        Args:
            row: columns of the connection.
            ready: entries of the ready queue that are being processed.

        Returns:
            The connection with its refilled token bucket.
        """
        key = row.company, row.name
        kinds = {entry.replies for entry in ready if (entry.company, entry.connection) == key}
        bucket = TokenBucket(row.rate, row.throttle_factor, row.tokens, row.refilled_at, row.suspended_until)
        has_quota = row.recipients_left is None or row.recipients_left > 0
        return cls(row, bucket.refill(row.now), replies=True in kinds, campaigns=False in kinds and has_quota)

    @property
    def key(self) -> tuple[str, str]:
        """Company and name."""
        return self.row.company, self.row.name

    @property
    def priority_range(self) -> tuple[int, int]:
        """Lowest and highest priority that may be leased."""
        return 0 if self.campaigns else REPLY_PRIORITY, MAX_PRIORITY if self.replies else 0

    @property
    def available(self) -> int:
        """Number of messages that may be leased, within rate limit and quota."""
        if not (self.replies or self.campaigns):
            return 0
        available = self.bucket.available(self.row.now)
        limited = self.campaigns and self.row.recipients_left is not None
        return min(available, self.row.recipients_left) if limited else available

    def requeue(self, share: int, leased: int) -> Iterator[tuple[ReadyConnection, float]]:
        """Yield the entries to push to the ready queue again, with delays in seconds.

        There are some when the whole share was leased, or when no token was available.

        Args:
            share: number of messages that the connection was allowed.
            leased: number of messages that were leased.
        """
        if leased < share or self.row.suspended_until is not None:
            return
        missing = 1.0 - self.bucket.consume(leased).tokens
        rate = self.bucket.rate * self.bucket.throttle_factor
        delay = max(MIN_REQUEUE_DELAY_SECONDS, missing / rate) if missing > 0 else 0.0
        if self.replies:
            yield ReadyConnection(*self.key, replies=True), delay
        if self.campaigns:
            yield ReadyConnection(*self.key), delay


async def lock_connections(
    transaction: Transaction, ready: Sequence[ReadyConnection], default_rate: float
) -> list[LockedConnection]:
    """Lock connections until the transaction ends.

    Args:
        transaction: the transaction.
        ready: connections to lock.
        default_rate: messages per second of a connection without a rate.

    Returns:
        The locked connections.
    """
    keys = sorted({(entry.company, entry.connection) for entry in ready})
    rows = await transaction.fetch_all(
        SQL["lock_connections"],
        companies=[company for company, _ in keys],
        names=[name for _, name in keys],
        rate=default_rate,
        recount=QUOTA_RECOUNT_INTERVAL_SECONDS,
    )
    return [LockedConnection.from_row(row, ready) for row in rows]


async def save_limits(
    transaction: Transaction, locked: Sequence[LockedConnection], leased: Sequence[Row[Any]]
) -> None:
    """Save token buckets and quotas, reduced by the leases, and the recipients of connections with a quota.

    A leased message that is never sent counts all the same. A person who was contacted before counts again
    until the next recount.

    Args:
        transaction: the transaction.
        locked: the locked connections.
        leased: rows of the leased messages.
    """
    leased_counts = Counter((row.company, row.connection) for row in leased)
    bulk = [row for row in leased if row.priority < REPLY_PRIORITY]
    bulk_counts = Counter((row.company, row.connection) for row in bulk)
    buckets = [connection.bucket.consume(leased_counts[connection.key]) for connection in locked]
    await transaction.execute(
        SQL["save_token_buckets"],
        companies=[connection.row.company for connection in locked],
        names=[connection.row.name for connection in locked],
        tokens=[bucket.tokens for bucket in buckets],
        throttle_factors=[bucket.throttle_factor for bucket in buckets],
        times=[bucket.refilled_at for bucket in buckets],
        recipients_left=[_recipients_left(connection, bulk_counts) for connection in locked],
        recount=QUOTA_RECOUNT_INTERVAL_SECONDS,
    )
    with_quota = {connection.key for connection in locked if connection.row.recipients_left is not None}
    recipients = [row for row in bulk if (row.company, row.connection) in with_quota]
    if recipients:
        await transaction.execute(
            SQL["record_daily_recipients"],
            companies=[row.company for row in recipients],
            connections=[row.connection for row in recipients],
            recipients=[row.recipient for row in recipients],
        )


def _recipients_left(connection: LockedConnection, bulk_counts: Counter[tuple[str, str]]) -> int | None:
    if connection.row.recipients_left is None:
        return None
    return int(connection.row.recipients_left) - bulk_counts[connection.key]
