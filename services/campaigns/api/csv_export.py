"""CSV export of a campaign's messages, page by page: ids, states and times, no names or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.campaigns.commands import MessageResult
    from services.campaigns.ports import UnitOfWorkFactory

CSV_HEADER = "message_id,contact_id,state,state_changed_at\r\n"


async def export_csv(
    company: str, campaign_id: UUID, page_size: int, uow_factory: UnitOfWorkFactory
) -> AsyncIterator[str]:
    """Yield the CSV lines of a campaign's messages, ordered by message id.

    Args:
        company: the tenant.
        campaign_id: the campaign.
        page_size: messages per transaction.
        uow_factory: starts the transactions.

    Yields:
        The header, then the lines of one page at a time.
    """
    yield CSV_HEADER
    after = None
    while True:
        async with uow_factory() as uow:
            page = await uow.messages.page(company, campaign_id, after, page_size)
        yield "".join(map(_line, page))
        if len(page) < page_size:
            return
        after = page[-1].message_id


def _line(result: MessageResult) -> str:
    changed_at = result.state_changed_at
    time = changed_at.isoformat(timespec="milliseconds") if changed_at else ""
    return f"{result.message_id},{result.contact_id},{result.state.label},{time}\r\n"
