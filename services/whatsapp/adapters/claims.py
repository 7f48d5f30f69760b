"""Claims in Postgres. See `ports.Claims`.

What keeps a message from going out twice:
- a claim commits before the call, and whatever was claimed may have been sent;
- it raises the message's epoch, and whatever is written under an older epoch changes nothing;
- a claimed message returns to the queue only by a definite "not taken" of that very attempt.
A verdict of an attempt is good even after the sweep has called it uncertain: nobody else can have sent.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.outbox import PostgresOutbox
from services.kit.sql import load_queries
from services.whatsapp.adapters.held import hold, keep
from services.whatsapp.domain import Claim, Claimed, Turn
from services.whatsapp.events import of_result, told
from services.whatsapp.pace import LEAST_PACE, shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.whatsapp.adapters.held import Held
    from services.whatsapp.domain import Result
    from services.whatsapp.settings import DispatcherSettings

SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


class PostgresClaims:
    """Every method is one transaction."""

    def __init__(self, database: Database, settings: DispatcherSettings) -> None:
        self._database = database
        self._rate = settings.messages_per_second
        self._lease = settings.attempt_seconds + settings.grace_seconds_for_results

    async def claim(self, turns: Sequence[Turn], most: int) -> Claimed:
        """See `Claims`."""
        async with self._database.work() as work:
            held = await hold(work, turns, self._rate)
            parts = shares([each.allowance for each in held], most)
            rows = await self._take(work, held, parts)
            await keep(work, held, rows)
            await work.commit()
        taken = Counter((row.company, row.connection) for row in rows)
        again = [
            turn for each, part in zip(held, parts, strict=True) for turn in each.again(part, taken[each.key])
        ]
        # Rows come as the plan of the statement has it; the most urgent calls are made first.
        urgent_first = sorted(rows, key=lambda row: row.urgency, reverse=True)
        return Claimed([_claim(row) for row in urgent_first], again)

    async def _take(self, work: Work, held: Sequence[Held], parts: Sequence[int]) -> Sequence[Row[Any]]:
        if not any(parts):
            return []
        return await work.rows(
            SQL["claim_messages"],
            companies=[each.row.company for each in held],
            connections=[each.row.name for each in held],
            numbers=[each.row.phone_number_id for each in held],
            shares=list(parts),
            floors=[each.urgencies[0] for each in held],
            ceilings=[each.urgencies[1] for each in held],
            lease=self._lease,
        )

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
            await PostgresOutbox(work).add(told(news for result in ours if (news := of_result(result))))
            await _restrain(work, results)
            await work.commit()
        return len(ours)


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
