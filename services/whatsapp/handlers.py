"""What the worker does with callbacks and with messages nobody works on. Each step is one transaction."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from services.kit.outbox import PostgresOutbox
from services.kit.retry import wait_or_stop
from services.kit.sql import load_queries
from services.whatsapp.adapters.standings import Standings
from services.whatsapp.callbacks import UnreadableCallbackError, read
from services.whatsapp.domain import State
from services.whatsapp.events import news_of, told

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.whatsapp.callbacks import Report

CALLBACKS = 50
"""Raw callbacks in one transaction; each may hold many reports."""
LAPSED = 500
"""Leases, and messages handed back, in one transaction."""
PACE_SECONDS = 1.0
"""Between two looks for callbacks: what is reported of a message meanwhile makes one move and one report."""
PURGE_EVERY_SECONDS = 3600.0
NO_RESULT = "sent to the provider, and no answer was written"
REPORTS = Counter("esq_callback_reports", "Reports of callbacks by what became of them", ["fate"])
LEASES = Counter("esq_leases_lapsed", "Attempts of which nothing was heard while their lease ran")
HANDED_BACK = Counter("esq_messages_handed_back", "Messages that came back, or ended, unclaimed", ["state"])
SQL = load_queries(Path(__file__).with_name("queries.sql"))
log = logging.getLogger(__name__)


class Callbacks:
    """Works on stored callbacks: moves messages and tells others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            if await self.step() < CALLBACKS:
                await wait_or_stop(stop, PACE_SECONDS)

    async def step(self) -> int:
        """Work on the oldest callbacks; return how many they were."""
        async with self._database.work() as work:
            rows = await work.rows(SQL["waiting_callbacks"], most=CALLBACKS)
            if not rows:
                return 0
            reports, faults = _read_all(rows)
            if reports:
                await _apply(work, reports)
            await work.run(SQL["callbacks_done"], ids=[row.id for row in rows], faults=faults)
            await work.commit()
        return len(rows)


def _read_all(rows: Sequence[Row[Any]]) -> tuple[list[Report], list[str | None]]:
    """Return the reports in order, and for each callback why it could not be read, if so."""
    reports: list[Report] = []
    faults: list[str | None] = []
    for row in rows:
        try:
            reports += read(row.body)
            faults.append(None)
        except UnreadableCallbackError as error:
            faults.append(str(error))
            log.warning("Callback %d set aside: %s", row.id, error, extra={"action": "callback"})
    return reports, faults


async def _apply(work: Work, reports: Sequence[Report]) -> None:
    """Move the messages as their reports say, and tell of each whose state that changed."""
    standings = Standings(work)
    keys = await standings.resolve(reports)
    before = await standings.load(keys.values())
    after = dict(before)
    for place, report in enumerate(reports):
        standing = after.get(keys[place]) if place in keys else None
        if standing is None:
            REPORTS.labels("unknown").inc()
            continue
        moved = standing.after(report.status, report.at, report.provider_id, report.code)
        REPORTS.labels("repeated" if moved is standing else "new").inc()
        after[keys[place]] = moved
    await standings.store([standing for key, standing in after.items() if standing is not before[key]])
    changed = [standing for key, standing in after.items() if standing.state is not before[key].state]
    await PostgresOutbox(work).add(
        told(news_of(it.company, it.message_id, it.campaign_id, it.state, code=it.code) for it in changed)
    )


class Sweeper:
    """Takes care of attempts of which nothing is heard, and of messages that may not be sent any more."""

    def __init__(self, database: Database, *, every_seconds: float) -> None:
        self._database = database
        self._every = every_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop."""
        while not stop.is_set():
            while max(await self.step(), await self.hand_back()) == LAPSED:
                continue
            await wait_or_stop(stop, self._every)

    async def step(self) -> int:
        """Doubt attempts without result; return how many."""
        async with self._database.work() as work:
            doubted = await work.rows(SQL["doubt_lapsed"], most=LAPSED, reason=NO_RESULT)
            await PostgresOutbox(work).add(
                told(
                    news_of(row.company, row.message_id, row.campaign_id, State.UNCERTAIN, reason=NO_RESULT)
                    for row in doubted
                )
            )
            await work.commit()
        LEASES.inc(len(doubted))
        if doubted:
            log.warning("%d attempts are uncertain", len(doubted), extra={"action": "sweep"})
        return len(doubted)

    async def hand_back(self) -> int:
        """Tell of waiting messages that are halted or late; return the larger number of the two."""
        async with self._database.work() as work:
            halted = await work.rows(SQL["hand_back_halted"], most=LAPSED)
            late = await work.rows(SQL["hand_back_late"], most=LAPSED)
            await tell_handed_back(work, [*halted, *late])
            await work.commit()
        return max(len(halted), len(late))


async def tell_handed_back(work: Work, rows: Sequence[Row[Any]]) -> None:
    """Put the news of messages that were not begun into the outbox."""
    for row in rows:
        HANDED_BACK.labels(row.state).inc()
    await PostgresOutbox(work).add(
        told(
            news_of(row.company, row.message_id, row.campaign_id, State(row.state), run=row.run)
            for row in rows
        )
    )


class Keeper:
    """Forgets, once an hour, raw callbacks that were worked on long ago, and who was reached before a day."""

    def __init__(self, database: Database, *, keep_seconds: float) -> None:
        self._database = database
        self._keep = keep_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Purge until told to stop."""
        while not stop.is_set():
            await self.purge()
            await wait_or_stop(stop, PURGE_EVERY_SECONDS)

    async def purge(self) -> int:
        """Forget what is old enough; return how many that were."""
        async with self._database.work() as work:
            forgotten = await work.run(SQL["purge_callbacks"], seconds=self._keep)
            forgotten += await work.run(SQL["purge_reached"])
            await work.commit()
        return forgotten
