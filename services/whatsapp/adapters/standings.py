"""Messages in Postgres as callbacks see them: found by report, read under lock, written back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kit.sql import load_queries
from services.whatsapp.domain import Standing, State, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Row

    from services.kit.database import Work
    from services.whatsapp.callbacks import Report

    Key = tuple[str, UUID]

SQL = load_queries(Path(__file__).parent.with_name("queries.sql"))


class Standings:
    """The messages that reports are about, in one unit of work."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def resolve(self, reports: Sequence[Report]) -> dict[int, Key]:
        """Return the key of the message of each report, by the report's place; some have none."""
        ours = [(place, report) for place, report in enumerate(reports) if report.tracker]
        rows = await self._work.rows(
            SQL["resolve_reports"],
            places=[place for place, _ in ours],
            numbers=[report.phone_number_id for _, report in ours],
            trackers=[report.tracker for _, report in ours],
        )
        return {row.place: (row.company, row.message_id) for row in rows}

    async def load(self, keys: Iterable[Key]) -> dict[Key, Standing]:
        """Read messages and hold them until the work ends; unknown ones are left out."""
        wanted = sorted(set(keys))
        rows = await self._work.rows(
            SQL["reported_messages"],
            companies=[company for company, _ in wanted],
            ids=[message_id for _, message_id in wanted],
        )
        return {(row.company, row.message_id): _standing(row) for row in rows}

    async def store(self, standings: Sequence[Standing]) -> None:
        """Write them back."""
        if not standings:
            return
        await self._work.run(
            SQL["move"],
            companies=[standing.company for standing in standings],
            ids=[standing.message_id for standing in standings],
            states=[standing.state.value for standing in standings],
            provider_ids=[standing.provider_id for standing in standings],
            codes=[standing.code for standing in standings],
            sent=[standing.times.get(Status.SENT) for standing in standings],
            delivered=[standing.times.get(Status.DELIVERED) for standing in standings],
            read=[standing.times.get(Status.READ) for standing in standings],
            failed=[standing.times.get(Status.FAILED) for standing in standings],
        )


def _standing(row: Row[Any]) -> Standing:
    times = {
        Status.SENT: row.sent_at,
        Status.DELIVERED: row.delivered_at,
        Status.READ: row.read_at,
        Status.FAILED: row.failed_at,
    }
    return Standing(
        company=row.company,
        message_id=row.message_id,
        campaign_id=row.campaign_id,
        state=State(row.state),
        provider_id=row.provider_id,
        code=row.code,
        times={status: at for status, at in times.items() if at is not None},
    )
