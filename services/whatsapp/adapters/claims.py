"""Claims in Postgres. See `ports.Claims`.

What keeps a message from going out twice:
- a claim raises the message's epoch, and whatever is written under an older epoch changes nothing;
- `begin` commits before the call and only for a claim whose lease still runs: a lapsed one is never sent;
- once begun, a message returns to the queue only by a definite "not taken" of that very attempt.
A verdict of a begun attempt is good even after the sweep has called it uncertain: nobody else can have sent.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.outbox import PostgresOutbox
from services.kit.sql import load_queries
from services.whatsapp.domain import Claim
from services.whatsapp.events import for_campaigns, of_result
from services.whatsapp.pace import LEAST_PACE, Bucket, shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.whatsapp.domain import Result
    from services.whatsapp.settings import DispatcherSettings

MOST_CONNECTIONS = 100
"""Looked at in one claim."""
RECOUNT_SECONDS = 60.0
"""Whom a connection with a quota has reached is counted so often; in between it is only added to."""
URGENT = 1
"""Least urgency of what no quota holds back: replies."""
SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


class PostgresClaims:
    """Every method is one transaction."""

    def __init__(self, database: Database, settings: DispatcherSettings) -> None:
        self._database = database
        self._rate = settings.messages_per_second
        self._claim_lease = settings.claim_lease_seconds
        self._attempt_lease = settings.attempt_seconds + settings.grace_seconds_for_results

    async def claim(self, most: int) -> list[Claim]:
        """See `Claims`."""
        async with self._database.work() as work:
            found = await work.rows(
                SQL["sendable_connections"], rate=self._rate, most=MOST_CONNECTIONS, recount=RECOUNT_SECONDS
            )
            if not found:
                return []
            buckets = [_bucket(row).refilled(row.now) for row in found]
            allowances = [_allowance(row, bucket) for row, bucket in zip(found, buckets, strict=True)]
            rows = await self._take(work, found, shares(allowances, most))
            await _reach(work, found, rows)
            await _keep(work, found, buckets, rows)
            await work.commit()
        return [_claim(row) for row in rows]

    async def _take(self, work: Work, found: Sequence[Row[Any]], parts: Sequence[int]) -> Sequence[Row[Any]]:
        if not any(parts):
            return []
        return await work.rows(
            SQL["claim_messages"],
            companies=[row.company for row in found],
            connections=[row.name for row in found],
            numbers=[row.phone_number_id for row in found],
            shares=list(parts),
            floors=[0 if row.quota_left is None or row.quota_left > 0 else URGENT for row in found],
            lease=self._claim_lease,
        )

    async def begin(self, claims: Sequence[Claim]) -> list[Claim]:
        """See `Claims`."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["begin_attempts"], lease=self._attempt_lease, **_keys(claims))
            await work.commit()
        held = {(row.company, row.message_id) for row in rows}
        return [claim for claim in claims if (claim.company, claim.message_id) in held]

    async def settle(self, results: Sequence[Result]) -> int:
        """See `Claims`."""
        verdicts = [result.decision.verdict for result in results]
        async with self._database.work() as work:
            rows = await work.rows(
                SQL["settle"],
                **_keys([result.claim for result in results]),
                states=[verdict.state.value for verdict in verdicts],
                provider_ids=[verdict.provider_id for verdict in verdicts],
                codes=[verdict.code for verdict in verdicts],
                reasons=[verdict.reason for verdict in verdicts],
                delays=[verdict.delay for verdict in verdicts],
            )
            written = {(row.company, row.message_id) for row in rows}
            ours = [
                result for result in results if (result.claim.company, result.claim.message_id) in written
            ]
            news = [event for result in ours if (event := of_result(result))]
            await PostgresOutbox(work).add(for_campaigns(news))
            await _restrain(work, results)
            await work.commit()
        return len(ours)


def _bucket(row: Row[Any]) -> Bucket:
    return Bucket(row.rate, row.pace, row.tokens, row.filled_at, row.held_until)


def _allowance(row: Row[Any], bucket: Bucket) -> int:
    """Return how many messages a connection may send now: up to the last one that its quota allows.

    With nothing left of its quota only what is urgent goes out, at its usual pace.
    """
    allowance = bucket.allowance(row.now)
    limited = row.quota_left is not None and row.quota_left > 0
    return min(allowance, row.quota_left) if limited else allowance


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        company=row.company,
        message_id=row.message_id,
        campaign_id=row.campaign_id,
        phone_number_id=row.phone_number_id,
        connection=row.connection,
        recipient=row.recipient,
        text=row.body,
        epoch=row.epoch,
        attempts=row.attempts,
    )


def _keys(claims: Sequence[Claim]) -> dict[str, list[Any]]:
    return {
        "companies": [claim.company for claim in claims],
        "ids": [claim.message_id for claim in claims],
        "epochs": [claim.epoch for claim in claims],
    }


async def _reach(work: Work, found: Sequence[Row[Any]], claimed: Sequence[Row[Any]]) -> None:
    """Remember whom connections with a quota reach. A claim that never begins counts all the same."""
    limited = {(row.company, row.name) for row in found if row.quota_left is not None}
    reached = [row for row in claimed if row.urgency < URGENT and (row.company, row.connection) in limited]
    if reached:
        await work.run(
            SQL["reach"],
            companies=[row.company for row in reached],
            connections=[row.connection for row in reached],
            recipients=[row.recipient for row in reached],
        )


async def _keep(
    work: Work, found: Sequence[Row[Any]], buckets: Sequence[Bucket], claimed: Sequence[Row[Any]]
) -> None:
    """Write back the buckets and quotas, less what was claimed: who was reached before counts once more."""
    taken = Counter((row.company, row.connection) for row in claimed)
    bulk = Counter((row.company, row.connection) for row in claimed if row.urgency < URGENT)
    left = [bucket.without(taken[row.company, row.name]) for row, bucket in zip(found, buckets, strict=True)]
    quotas = [
        None if row.quota_left is None else row.quota_left - bulk[row.company, row.name] for row in found
    ]
    await work.run(
        SQL["keep_buckets"],
        companies=[row.company for row in found],
        names=[row.name for row in found],
        tokens=[bucket.tokens for bucket in left],
        paces=[bucket.pace for bucket in left],
        times=[bucket.filled_at for bucket in left],
        quotas_left=quotas,
        recount=RECOUNT_SECONDS,
    )


async def _restrain(work: Work, results: Sequence[Result]) -> None:
    """Slow down or hold the connections whose numbers the provider complained of, each once."""
    slow = sorted({_connection(result) for result in results if result.decision.slow})
    if slow:
        await work.run(
            SQL["slow_down"],
            companies=[company for company, _ in slow],
            names=[name for _, name in slow],
            least=LEAST_PACE,
        )
    holds: dict[tuple[str, str], float] = {}
    for result in results:
        if result.decision.hold:
            key = _connection(result)
            holds[key] = max(result.decision.hold, holds.get(key, 0.0))
    if holds:
        keys = sorted(holds)
        await work.run(
            SQL["hold"],
            companies=[company for company, _ in keys],
            names=[name for _, name in keys],
            seconds=[holds[key] for key in keys],
        )


def _connection(result: Result) -> tuple[str, str]:
    return result.claim.company, result.claim.connection
