"""The results of a campaign as CSV, a page at a time. Ids, words and times only: no text of anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.campaigns.commands import Result
    from services.campaigns.ports import Units

HEADER = "message,contact,state,since\r\n"


async def csv_of(company: str, campaign_id: UUID, page: int, units: Units) -> AsyncIterator[str]:
    """Yield the lines of a campaign's results, ordered by message, `page` of them at a time."""
    yield HEADER
    after = None
    while True:
        async with units() as unit:
            rows = await unit.messages.page(company, campaign_id, after, page)
        yield "".join(map(_line, rows))
        if len(rows) < page:
            return
        after = rows[-1].message_id


def _line(row: Result) -> str:
    since = row.changed_at.isoformat(timespec="milliseconds") if row.changed_at else ""
    return f"{row.message_id},{row.contact_id},{row.state.label},{since}\r\n"
