"""Replies: single messages that somebody waits for. They go before campaigns on the same connection.

A reply that could not go out soon is refused at once, with the time after which trying again is worth while:
who writes to a person is better told than left waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from services.contracts.v1.events_pb2 import URGENCY_REPLY
from services.kit.errors import BusyError, ConflictError, NotFoundError
from services.kit.sql import load_queries
from services.whatsapp.domain import Turn

if TYPE_CHECKING:
    from sqlalchemy import Row

    from services.kit.database import Database, Work
    from services.whatsapp.ports import Turns

LONGEST_WAIT = 30.0
"""Seconds; what would wait longer is refused."""
COUNTED = 100_000
"""Replies ahead are counted up to here."""
NAMESPACE = UUID("6f1d3a52-7c0e-5b1e-9a53-3d1f8e6b7c21")
"""Of the ids that follow from company and idempotency key. Never changes."""
SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Reply:
    """A message to one person.

    Attributes:
        company: the tenant.
        key: the caller's idempotency key; the same key sends once.
        connection: name of the company's connection.
        to: E.164 with +.
        text: at most 4096 characters.
        seconds: after which it is not begun any more.
    """

    company: str
    key: str
    connection: str
    to: str
    text: str
    seconds: float

    @property
    def message_id(self) -> UUID:
        """Its id, which follows from company and key: nothing else need be kept to know it again."""
        return uuid5(NAMESPACE, f"{self.company}\0{self.key}")


class Replies:
    """Takes replies and tells where they are."""

    def __init__(self, database: Database, turns: Turns, default_rate: float) -> None:
        """Set up.

        Args:
            database: where they wait.
            turns: are told of them.
            default_rate: messages per second of a connection that states none.
        """
        self._database = database
        self._turns = turns
        self._rate = default_rate

    async def take(self, reply: Reply) -> UUID:
        """Have a reply sent; return its id.

        Raises:
            NotFoundError: the company has no such connection.
            BusyError: it could not go out soon.
            ConflictError: the key was used for another reply.
        """
        async with self._database.work() as work:
            if known := await _read(work, reply.company, reply.message_id):
                return _same(reply, known)
            await self._check_wait(work, reply)
            added = await work.run(
                SQL["reply_add"],
                company=reply.company,
                id=reply.message_id,
                connection=reply.connection,
                recipient=reply.to,
                body=reply.text,
                urgency=URGENCY_REPLY,
                seconds=reply.seconds,
            )
            await work.commit()
        await self._turns.give([(Turn(reply.company, reply.connection, replies=True), 0.0)])
        # Not added: the same request came twice at once, and the other one was first.
        return reply.message_id if added else await self.take(reply)

    async def _check_wait(self, work: Work, reply: Reply) -> None:
        """Compute how long a reply would wait, and refuse it when that is too long."""
        row = await work.row(
            SQL["reply_connection"],
            company=reply.company,
            connection=reply.connection,
            urgency=URGENCY_REPLY,
            most=COUNTED,
        )
        if row is None:
            raise NotFoundError(
                f"there is no connection {reply.connection}; PUT /connections/{reply.connection} makes it"
            )
        wait = float(row.held) + row.ahead / ((row.rate or self._rate) * row.pace)
        if wait > min(LONGEST_WAIT, reply.seconds):
            later = max(1.0, math.ceil(wait - LONGEST_WAIT))
            raise BusyError(f"it would wait {wait:.0f} s on this connection", wait=wait, retry_after=later)

    async def read(self, company: str, message_id: UUID) -> Row[Any]:
        """Return a message of the company.

        Raises:
            NotFoundError: it has none of this id.
        """
        async with self._database.reading() as work:
            row = await _read(work, company, message_id)
        if row is None:
            raise NotFoundError("there is no such message")
        return row


async def _read(work: Work, company: str, message_id: UUID) -> Row[Any] | None:
    return await work.row(SQL["message_read"], company=company, id=message_id)


def _same(reply: Reply, stored: Row[Any]) -> UUID:
    if (stored.connection, stored.recipient, stored.body) != (reply.connection, reply.to, reply.text):
        raise ConflictError("this Idempotency-Key was used for another message")
    return reply.message_id
