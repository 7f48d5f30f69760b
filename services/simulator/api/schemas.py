"""Request and response bodies of the routes for tests and operators."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

MAX_IDS = 1000
"""Maximum number of ids in one query."""


class LedgerQuery(BaseModel):
    """Messages by the id that their sender gave as `biz_opaque_callback_data`."""

    ids: list[Annotated[str, Field(max_length=512)]] = Field(max_length=MAX_IDS)


class LedgerClock(BaseModel):
    """Clock of the ledger.

    Attributes:
        now: Unix time in seconds.
    """

    now: float


class LedgerSummary(BaseModel):
    """Counts of the whole ledger.

    Attributes:
        received: number of received send requests.
        messages: number of distinct messages among them.
        pending_webhooks: number of statuses that are not delivered yet.
    """

    received: int
    messages: int
    pending_webhooks: int
