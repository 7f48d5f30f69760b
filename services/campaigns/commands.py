"""Commands of the campaigns service, stored records and query results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.campaigns.domain.schedule_rules import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from services.campaigns.domain.lifecycle import Action, CampaignState, RequestedState
    from services.campaigns.domain.model import Campaign, MessageState


@dataclass(frozen=True)
class CampaignSpec:
    """Editable fields of a campaign.

    Attributes:
        company: the tenant.
        name: display name.
        list_name: list in the contacts service.
        text: message template; may contain `{name}` and the variables.
        connection: name of the company's connection.
        text_variants: further message templates.
        variables: values of placeholders.
        schedule: start time, send window and expiry.
    """

    company: str
    name: str
    list_name: str
    text: str
    connection: str
    text_variants: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class CreateCampaign(CampaignSpec):
    """Create a campaign that starts now, at a time or manually, and sends always or in a window.

    Attributes:
        idempotency_key: key of the caller; repeated requests with the same key create one campaign.
        start: whether to start at once; otherwise it is a draft, unless it has a start time.
    """

    idempotency_key: str = field(kw_only=True)
    start: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class UpdateCampaign(CampaignSpec):
    """Replace the editable fields of a campaign that has not started.

    Attributes:
        campaign_id: the campaign.
    """

    campaign_id: UUID = field(kw_only=True)


@dataclass(frozen=True)
class CampaignRecord:
    """A new campaign, as it is stored.

    Attributes:
        campaign: the campaign.
        idempotency_key: idempotency key of the caller.
        fingerprint: detects a different request with the same key.
        requested_state: initial state.
        schedule: start time, send window and expiry.
    """

    campaign: Campaign
    idempotency_key: str
    fingerprint: bytes
    requested_state: RequestedState
    schedule: Schedule


@dataclass(frozen=True)
class ChangeCampaignState:
    """Start, pause, resume or cancel a campaign.

    Attributes:
        company: the tenant.
        campaign_id: the campaign.
        action: what to do.
    """

    company: str
    campaign_id: UUID
    action: Action


@dataclass(frozen=True)
class PlanNextChunk:
    """Plan one chunk of the next campaign that waits for planning.

    Attributes:
        chunk_size: maximum number of recipients.
        lease_seconds: lifetime of the plan's lease.
    """

    chunk_size: int
    lease_seconds: float


@dataclass(frozen=True)
class PlanLease:
    """A lease on the planning of a campaign.

    Attributes:
        campaign: the campaign.
        cursor: last planned contact; None at the beginning.
        epoch: fencing token; only the holder of the current epoch may write.
        list_exhausted: whether each contact of the list has its message; later passes only request returned
            messages again.
        traceparent: trace of the request that started or resumed the plan; may be empty.
    """

    campaign: Campaign
    cursor: UUID | None
    epoch: int
    list_exhausted: bool = False
    traceparent: str = ""


@dataclass(frozen=True)
class PlanningLoad:
    """Planning of all campaigns.

    Attributes:
        campaigns: number of campaigns that are being planned.
        age_seconds: longest time that one of them made no progress.
    """

    campaigns: int
    age_seconds: float


@dataclass(frozen=True)
class OutstandingWork:
    """Outstanding work of a resumed campaign.

    Attributes:
        to_requeue: whether returned messages have to be requested again.
        in_flight: whether messages of an earlier run may still be returned.
    """

    to_requeue: bool
    in_flight: bool


@dataclass(frozen=True)
class UnconfirmedMessage:
    """A message of which an event may have been lost.

    Attributes:
        message_id: the message.
        run: run under which it was requested.
    """

    message_id: UUID
    run: int


@dataclass(frozen=True)
class MessageResult:
    """A message with its state.

    Attributes:
        message_id: the message.
        contact_id: its contact.
        state: its state.
        state_changed_at: time of the last state change; None in fakes, which keep no time.
    """

    message_id: UUID
    contact_id: UUID
    state: MessageState
    state_changed_at: datetime | None


@dataclass(frozen=True)
class CampaignProgress:
    """A campaign with its state and counts.

    Attributes:
        campaign: the campaign.
        state: effective state.
        failure: reason why planning failed, if it did.
        planned: number of messages.
        total: contacts on the list; equal to `planned` once planning has ended; None before the first chunk.
        counts: messages per state, without zeros.
        requested_state: the stored state.
        schedule: start time, send window and expiry.
        status_reason: reason of the last automatic change, if there was one.
    """

    campaign: Campaign
    state: CampaignState
    failure: str | None
    planned: int
    total: int | None
    counts: Mapping[MessageState, int]
    requested_state: RequestedState
    schedule: Schedule
    status_reason: str | None = None
