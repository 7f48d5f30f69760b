"""What the service can be asked to do, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from services.campaigns.domain import Campaign, Stage, State


@dataclass(frozen=True)
class CreateCampaign:
    """Send a text to a list.

    Attributes:
        company: the tenant.
        key: the caller's idempotency key: the same key makes one campaign, however often it is sent.
        name: for people.
        list_name: of the contacts service.
        text: may hold `{name}`.
        connection: name of the company's connection.
    """

    company: str
    key: str
    name: str
    list_name: str
    text: str
    connection: str


@dataclass(frozen=True)
class PlanNextChunk:
    """Plan a chunk of some campaign that waits to be planned.

    Attributes:
        chunk: recipients at most.
        lease_seconds: how long others leave it alone.
    """

    chunk: int
    lease_seconds: float


@dataclass(frozen=True)
class Plan:
    """A claim on the planning of a campaign.

    Attributes:
        campaign: what is planned.
        cursor: the last contact that is planned, None at the beginning.
        epoch: number of the claim; only its holder may write.
    """

    campaign: Campaign
    cursor: UUID | None
    epoch: int


@dataclass(frozen=True)
class Progress:
    """How far a campaign is.

    Attributes:
        campaign: which one.
        stage: in one word.
        failure: why it cannot be planned, if so.
        planned: messages that exist.
        total: contacts on the list; once all are planned, the same as `planned`; None before the first look.
        counts: messages by state.
    """

    campaign: Campaign
    stage: Stage
    failure: str | None
    planned: int
    total: int | None
    counts: Mapping[State, int]
