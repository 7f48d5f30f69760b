"""Connections while one dispatcher claims from them: what their buckets, quotas and turns allow.

Whoever has a connection's row may claim from it; what was taken is written back in the same transaction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.sql import load_queries
from services.whatsapp.domain import Turn
from services.whatsapp.pace import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Row

    from services.kit.database import Work

RECOUNT_SECONDS = 60.0
"""Whom a connection with a quota has reached is counted so often; in between it is only added to."""
URGENT = 1
"""Least urgency of replies, which no quota holds back."""
MOST_URGENT = 32_767
LEAST_PAUSE = 0.02
"""Seconds until a turn comes again for which no token is there: several gather."""
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


@dataclass(frozen=True)
class Held:
    """A connection, held.

    Attributes:
        row: its columns.
        bucket: as it stands now.
        replies: it is the turn of its replies.
        campaigns: it is the turn of its campaigns, and its quota has something left for them.
    """

    row: Row[Any]
    bucket: Bucket
    replies: bool
    campaigns: bool

    @classmethod
    def of(cls, row: Row[Any], turns: Sequence[Turn]) -> Held:
        """Read the columns, and whose turn it is."""
        ours = {turn.replies for turn in turns if (turn.company, turn.connection) == (row.company, row.name)}
        bucket = Bucket(row.rate, row.pace, row.tokens, row.filled_at, row.held_until).refilled(row.now)
        left = row.quota_left is None or row.quota_left > 0
        return cls(row, bucket, replies=True in ours, campaigns=False in ours and left)

    @property
    def key(self) -> tuple[str, str]:
        """Company and name."""
        return self.row.company, self.row.name

    @property
    def urgencies(self) -> tuple[int, int]:
        """The least and the most urgent that may go out."""
        return 0 if self.campaigns else URGENT, MOST_URGENT if self.replies else 0

    @property
    def allowance(self) -> int:
        """How many messages may go out, down to the last one that a quota allows."""
        if not (self.replies or self.campaigns):
            return 0
        allowance = self.bucket.allowance(self.row.now)
        limited = self.campaigns and self.row.quota_left is not None
        return min(allowance, self.row.quota_left) if limited else allowance

    def again(self, share: int, taken: int) -> Iterator[tuple[Turn, float]]:
        """Yield the turns that are to come again: all of the share was taken, or there was none to be had."""
        if taken < share or self.row.held_until is not None:
            return
        missing = 1.0 - self.bucket.without(taken).tokens
        pause = max(LEAST_PAUSE, missing / (self.bucket.rate * self.bucket.pace)) if missing > 0 else 0.0
        if self.replies:
            yield Turn(*self.key, replies=True), pause
        if self.campaigns:
            yield Turn(*self.key), pause


async def hold(work: Work, turns: Sequence[Turn], rate: float) -> list[Held]:
    """Hold the connections of some turns until the transaction ends; `rate` is of those that state none."""
    keys = sorted({(turn.company, turn.connection) for turn in turns})
    rows = await work.rows(
        SQL["hold_connections"],
        companies=[company for company, _ in keys],
        names=[name for _, name in keys],
        rate=rate,
        recount=RECOUNT_SECONDS,
    )
    return [Held.of(row, turns) for row in rows]


async def keep(work: Work, held: Sequence[Held], claimed: Sequence[Row[Any]]) -> None:
    """Write back buckets and quotas, less what was claimed, and whom connections with a quota reach.

    A claim that never begins counts all the same, and who was reached before counts once more.
    """
    taken = Counter((row.company, row.connection) for row in claimed)
    bulk = [row for row in claimed if row.urgency < URGENT]
    bulk_of = Counter((row.company, row.connection) for row in bulk)
    left = [each.bucket.without(taken[each.key]) for each in held]
    await work.run(
        SQL["keep_buckets"],
        companies=[each.row.company for each in held],
        names=[each.row.name for each in held],
        tokens=[bucket.tokens for bucket in left],
        paces=[bucket.pace for bucket in left],
        times=[bucket.filled_at for bucket in left],
        quotas_left=[
            None if each.row.quota_left is None else each.row.quota_left - bulk_of[each.key] for each in held
        ],
        recount=RECOUNT_SECONDS,
    )
    limited = {each.key for each in held if each.row.quota_left is not None}
    reached = [row for row in bulk if (row.company, row.connection) in limited]
    if reached:
        await work.run(
            SQL["reach"],
            companies=[row.company for row in reached],
            connections=[row.connection for row in reached],
            recipients=[row.recipient for row in reached],
        )
