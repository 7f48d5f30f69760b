"""What the worker does with requests, callbacks and lapsed leases. Each step is one transaction."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prometheus_client import Counter

from services.contracts.v1.events_pb2 import MessageRequested
from services.kit.inbox import PostgresInbox
from services.kit.outbox import PostgresOutbox
from services.kit.retry import wait_or_stop
from services.kit.sql import load_queries
from services.whatsapp.adapters.standings import Standings
from services.whatsapp.callbacks import UnreadableCallbackError, read
from services.whatsapp.domain import State
from services.whatsapp.events import standing, status_changed, uncertain

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.kit.events import Incoming
    from services.whatsapp.callbacks import Report

CALLBACKS = 50
"""Raw callbacks in one transaction; each may hold many reports."""
LAPSED = 500
"""Leases in one transaction."""
IDLE_SECONDS = 0.1
PURGE_EVERY_SECONDS = 3600.0
LONGEST_TEXT = 4096
NO_RESULT = "sent to the provider, and no answer was written"
REPORTS = Counter("esq_callback_reports", "Reports of callbacks by what became of them", ["fate"])
LEASES = Counter("esq_leases_lapsed", "Leases that lapsed by what became of the message", ["state"])
SQL = load_queries(Path(__file__).with_name("queries.sql"))
log = logging.getLogger(__name__)


class Requests:
    """Stores requested messages, each once. Who asks again for one is told where it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, events: Sequence[Incoming]) -> None:
        """Store a batch with its inbox.

        Raises:
            ValueError: an id is no UUID or a text too long; the consumer sets that event aside.
        """
        async with self._database.work() as work:
            fresh = await PostgresInbox(work).fresh(events)
            wanted = [(it.company, it.event) for it in fresh if isinstance(it.event, MessageRequested)]
            if wanted and await work.run(SQL["store_requested"], **_columns(wanted)) < len(wanted):
                await _answer(work, wanted)
            await work.commit()


async def _answer(work: Work, wanted: Iterable[tuple[str, MessageRequested]]) -> None:
    """Tell where requested messages are that have left the queue: their news may have been lost."""
    columns = _columns(wanted)
    rows = await work.rows(SQL["standing_of"], companies=columns["companies"], ids=columns["ids"])
    await PostgresOutbox(work).add(
        [
            standing(
                row.company,
                row.message_id,
                row.campaign_id,
                State(row.state),
                row.provider_id,
                row.code,
                row.reason,
            )
            for row in rows
        ]
    )


def _columns(wanted: Iterable[tuple[str, MessageRequested]]) -> dict[str, list[Any]]:
    """Return the columns, messages in one order everywhere so that two workers never deadlock."""
    rows = sorted((company, UUID(event.message_id), event) for company, event in wanted)
    if any(len(event.text) > LONGEST_TEXT for _, _, event in rows):
        raise ValueError(f"a text is longer than {LONGEST_TEXT} characters")
    return {
        "companies": [company for company, _, _ in rows],
        "ids": [message_id for _, message_id, _ in rows],
        "campaigns": [event.campaign_id for _, _, event in rows],
        "contacts": [event.contact_id for _, _, event in rows],
        "connections": [event.connection for _, _, event in rows],
        "recipients": [event.to for _, _, event in rows],
        "bodies": [event.text for _, _, event in rows],
    }


class Callbacks:
    """Works on stored callbacks: moves messages and tells others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            if await self.step() == 0:
                await wait_or_stop(stop, IDLE_SECONDS)

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
    """Move the messages as their reports say; one event for each message that changed its state."""
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
        [status_changed(it.company, it.message_id, it.campaign_id, it.state, it.code) for it in changed]
    )


class Sweeper:
    """Takes care of claims whose holder is gone."""

    def __init__(self, database: Database, *, every_seconds: float) -> None:
        self._database = database
        self._every = every_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop."""
        while not stop.is_set():
            while await self.step() == LAPSED:
                continue
            await wait_or_stop(stop, self._every)

    async def step(self) -> int:
        """Release claims that never began, doubt attempts without result; return the larger number."""
        async with self._database.work() as work:
            released = await work.run(SQL["release_lapsed"], most=LAPSED)
            doubted = await work.rows(SQL["doubt_lapsed"], most=LAPSED, reason=NO_RESULT)
            await PostgresOutbox(work).add(
                [uncertain(row.company, row.message_id, row.campaign_id, NO_RESULT) for row in doubted]
            )
            await work.commit()
        LEASES.labels("queued").inc(released)
        LEASES.labels("uncertain").inc(len(doubted))
        if released or doubted:
            log.warning(
                "Leases lapsed: %d back in the queue, %d uncertain",
                released,
                len(doubted),
                extra={"action": "sweep", "queued": released, "uncertain": len(doubted)},
            )
        return max(released, len(doubted))


class CallbackKeeper:
    """Forgets, once an hour, raw callbacks that were worked on long ago."""

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
            await work.commit()
        return forgotten
