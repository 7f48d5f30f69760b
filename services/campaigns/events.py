"""News about messages, as the contracts carry them, and what they mean on the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.domain import State
from services.campaigns.texts import text_for
from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.events import Outgoing

if TYPE_CHECKING:
    from services.campaigns.domain import Campaign, Recipient
    from services.kit.events import Incoming

_OF_STATUS = {
    v1.STATUS_SENT: State.SENT,
    v1.STATUS_DELIVERED: State.DELIVERED,
    v1.STATUS_READ: State.READ,
    v1.STATUS_FAILED: State.FAILED,
}


@dataclass(frozen=True)
class News:
    """What became of a message.

    Attributes:
        company: the tenant.
        campaign_id: whose message it is.
        message_id: which one.
        state: where this puts it.
    """

    company: str
    campaign_id: UUID
    message_id: UUID
    state: State


@dataclass(frozen=True)
class Recall:
    """A message that was not begun under its run, and will not be.

    Attributes:
        company: the tenant.
        campaign_id: whose message it is.
        message_id: which one.
        run: under which it had been requested.
    """

    company: str
    campaign_id: UUID
    message_id: UUID
    run: int


def request_of(campaign: Campaign, recipient: Recipient) -> Outgoing:
    """Return the event that asks for a recipient's message to be sent, under the campaign's run."""
    event = v1.MessageRequested(
        message_id=str(recipient.message_id),
        campaign_id=str(campaign.id),
        contact_id=str(recipient.contact_id),
        connection=campaign.connection,
        to=recipient.phone,
        text=text_for(campaign, recipient),
        run=campaign.run,
    )
    if campaign.closes_at:
        event.not_after.FromDatetime(campaign.closes_at)
    if campaign.expires_at:
        event.expires_at.FromDatetime(campaign.expires_at)
    return Outgoing.of(MESSAGE_REQUESTED, _key(campaign), campaign.company, event)


def halt_of(campaign: Campaign) -> Outgoing:
    """Return the event that takes back the campaign's run and those before it.

    It has the key of the requests, and whoever writes it holds the plan that they are written under: so it
    comes after all of them.
    """
    event = v1.CampaignHalted(campaign_id=str(campaign.id), connection=campaign.connection, run=campaign.run)
    return Outgoing.of(MESSAGE_REQUESTED, _key(campaign), campaign.company, event)


def _key(campaign: Campaign) -> str:
    return f"{campaign.company}/{campaign.connection}"


def news_of(incoming: Incoming) -> News | None:
    """Return what an event tells about a message; None when it tells nothing that is counted here.

    Raises:
        ValueError: an id that is none; the event is set aside.
    """
    state, event = _state_of(incoming), incoming.event
    if state is None or isinstance(event, v1.MessageRequested | v1.CampaignHalted):
        return None
    return News(incoming.company, UUID(event.campaign_id), UUID(event.message_id), state)


def recall_of(incoming: Incoming) -> Recall | None:
    """Return what an event takes back, if it does.

    Raises:
        ValueError: an id that is none; the event is set aside.
    """
    event = incoming.event
    if not isinstance(event, v1.MessageRecalled):
        return None
    return Recall(incoming.company, UUID(event.campaign_id), UUID(event.message_id), event.run)


def _state_of(incoming: Incoming) -> State | None:
    match incoming.event:
        case v1.MessageAccepted():
            return State.ACCEPTED
        case v1.MessageFailed():
            return State.FAILED
        case v1.MessageUncertain():
            return State.UNCERTAIN
        case v1.MessageExpired():
            return State.EXPIRED
        case v1.StatusChanged(status=status):
            return _OF_STATUS.get(status)
        case _:
            return None
