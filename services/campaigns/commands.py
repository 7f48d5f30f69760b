"""What the service can be asked to do, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.campaigns.timetable import Times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.domain import Campaign, State
    from services.campaigns.lifecycle import Action, Stage, Status


@dataclass(frozen=True)
class Content:
    """What people decide about a campaign.

    Attributes:
        company: the tenant.
        name: for people.
        list_name: of the contacts service.
        text: may hold `{name}` and the variables.
        connection: name of the company's connection.
        more_texts: variations of the text.
        variables: what placeholders stand for.
        times: what it has to do with time.
    """

    company: str
    name: str
    list_name: str
    text: str
    connection: str
    more_texts: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    times: Times = field(default_factory=Times)


@dataclass(frozen=True)
class CreateCampaign(Content):
    """Send a text to a list: now, at a time, or when somebody starts it; always, or in a window.

    Attributes:
        key: the caller's idempotency key: the same key makes one campaign, however often it is sent.
        start: whether it starts at once; otherwise it is a draft, unless it has a time.
    """

    key: str = field(kw_only=True)
    start: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class ChangeCampaign(Content):
    """Replace what was decided about a campaign that has not begun.

    Attributes:
        campaign_id: which one.
    """

    campaign_id: UUID = field(kw_only=True)


@dataclass(frozen=True)
class NewCampaign:
    """A campaign as it is first stored.

    Attributes:
        campaign: what it is.
        key: the caller's idempotency key.
        digest: tells another request with the same key.
        status: what is asked of it first.
        times: what it has to do with time.
    """

    campaign: Campaign
    key: str
    digest: bytes
    status: Status
    times: Times


@dataclass(frozen=True)
class ActOnCampaign:
    """Start, pause, resume or cancel a campaign.

    Attributes:
        company: the tenant.
        campaign_id: which one.
        action: what is asked of it.
    """

    company: str
    campaign_id: UUID
    action: Action


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
        complete: each contact of the list has its message; what came back is asked for again.
    """

    campaign: Campaign
    cursor: UUID | None
    epoch: int
    complete: bool = False


@dataclass(frozen=True)
class Owed:
    """What a resumed campaign still waits for.

    Attributes:
        pending: messages that came back wait to be asked for again.
        awaited: messages of an earlier run may still come back.
    """

    pending: bool
    awaited: bool


@dataclass(frozen=True)
class Unsettled:
    """A message of which an event may have been lost.

    Attributes:
        message_id: which one.
        run: under which it was requested.
    """

    message_id: UUID
    run: int


@dataclass(frozen=True)
class Result:
    """A message and what became of it so far.

    Attributes:
        message_id: which one.
        contact_id: whose it is.
        state: where it is.
        changed_at: since when; None where nobody keeps time.
    """

    message_id: UUID
    contact_id: UUID
    state: State
    changed_at: datetime | None


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
        status: what was last asked of it.
        times: what it has to do with time.
        note: what happened to it by itself, if anything.
    """

    campaign: Campaign
    stage: Stage
    failure: str | None
    planned: int
    total: int | None
    counts: Mapping[State, int]
    status: Status
    times: Times
    note: str | None = None
