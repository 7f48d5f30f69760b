"""What the worker does with requests for messages and with halts, in one transaction with the inbox.

A request is answered at once when there is news of its message, or when its run is halted already: who asks
again never waits for ever. Begun messages stay as they are, whatever comes.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.contracts.limits import TEXT_CHARACTERS
from services.contracts.v1.events_pb2 import CampaignHalted, MessageRequested, MessagesRequested
from services.kit.inbox import PostgresInbox
from services.kit.outbox import PostgresOutbox
from services.kit.sql import load_queries
from services.whatsapp.domain import State, Turn
from services.whatsapp.events import news_of, told
from services.whatsapp.handlers import tell_handed_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from services.kit.database import Database, Work
    from services.kit.events import Incoming
    from services.whatsapp.ports import Turns

    Columns = dict[str, list[Any]]

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class Requests:
    """Stores requested messages, each once. Who asks again for one is told where it is.

    Args:
        database: where they wait.
        turns: are told of them, so that nobody has to look.
    """

    def __init__(self, database: Database, turns: Turns) -> None:
        self._database = database
        self._turns = turns

    async def handle(self, events: Sequence[Incoming]) -> None:
        """Store a batch with its inbox.

        Raises:
            ValueError: an id is no UUID or a text too long; the consumer sets that event aside.
        """
        async with self._database.work() as work:
            fresh = await PostgresInbox(work).fresh(events)
            # Halts first: whether a request came before or after one, what counts is its run.
            if halts := _latest_halts(fresh):
                await _halt(work, halts)
            requests = _latest_requests(fresh)
            if requests:
                columns = _columns(requests)
                await _store(work, columns)
                await _refuse_halted(work, columns)
            await work.commit()
        await self._turns.give([(turn, 0.0) for turn in _turns(requests)])


async def _store(work: Work, columns: Columns) -> None:
    """Store messages; tell where those are that have left the queue, as their news may have been lost."""
    if await work.run(SQL["store_requested"], **columns) == len(columns["ids"]):
        return
    rows = await work.rows(SQL["standing_of"], companies=columns["companies"], ids=columns["ids"])
    await PostgresOutbox(work).add(
        told(
            news_of(
                row.company,
                row.message_id,
                row.campaign_id,
                State(row.state),
                provider_id=row.provider_id,
                code=row.code,
                reason=row.reason,
                run=row.run,
            )
            for row in rows
        )
    )


async def _halt(work: Work, halts: Mapping[tuple[str, str, str], int]) -> None:
    """Remember how far campaigns are halted; the sweep hands back what waits."""
    keys = sorted(halts)
    await work.run(
        SQL["halt"],
        companies=[company for company, _, _ in keys],
        campaigns=[campaign for _, campaign, _ in keys],
        connections=[connection for _, _, connection in keys],
        runs=[halts[key] for key in keys],
    )


async def _refuse_halted(work: Work, columns: Columns) -> None:
    """Hand back at once what came late: the sweep looks at a halt for a day only."""
    rows = await work.rows(SQL["hand_back_of_halted"], companies=columns["companies"], ids=columns["ids"])
    await tell_handed_back(work, rows)


def _latest_requests(events: Iterable[Incoming]) -> dict[tuple[str, UUID], MessageRequested]:
    """Return each message's request under its latest run."""
    latest: dict[tuple[str, UUID], MessageRequested] = {}
    for it in events:
        for request in _requests(it):
            key = it.company, UUID(request.message_id)
            if key not in latest or latest[key].run < request.run:
                latest[key] = request
    return latest


def _requests(incoming: Incoming) -> Sequence[MessageRequested]:
    match incoming.event:
        case MessagesRequested(requests=requests):
            return requests
        case MessageRequested() as request:
            return [request]
        case _:
            return []


def _latest_halts(events: Iterable[Incoming]) -> dict[tuple[str, str, str], int]:
    """Return how far each campaign is halted, by company, campaign and connection."""
    latest: dict[tuple[str, str, str], int] = {}
    for it in events:
        if isinstance(it.event, CampaignHalted):
            key = it.company, it.event.campaign_id, it.event.connection
            latest[key] = max(it.event.run, latest.get(key, 0))
    return latest


def _turns(requests: Mapping[tuple[str, UUID], MessageRequested]) -> set[Turn]:
    """Return the turns that messages bring."""
    return {Turn(key[0], event.connection, replies=event.urgency > 0) for key, event in requests.items()}


def _columns(requests: Mapping[tuple[str, UUID], MessageRequested]) -> Columns:
    """Return the columns, messages in one order everywhere so that two workers never deadlock."""
    keys = sorted(requests)
    rows = [requests[key] for key in keys]
    if any(len(event.text) > TEXT_CHARACTERS for event in rows):
        raise ValueError(f"a text is longer than {TEXT_CHARACTERS} characters")
    return {
        "companies": [company for company, _ in keys],
        "ids": [message_id for _, message_id in keys],
        "campaigns": [event.campaign_id for event in rows],
        "contacts": [event.contact_id for event in rows],
        "connections": [event.connection for event in rows],
        "recipients": [event.to for event in rows],
        "bodies": [event.text for event in rows],
        "runs": [event.run for event in rows],
        "urgencies": [event.urgency for event in rows],
        "not_afters": [_time(event.not_after) if event.HasField("not_after") else None for event in rows],
        "expiries": [_time(event.expires_at) if event.HasField("expires_at") else None for event in rows],
    }


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)
