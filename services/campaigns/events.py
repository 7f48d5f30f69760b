"""News about messages, as the contracts carry them, and what they mean on the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.domain import Campaign, Recipient, State, personalised
from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.events import Outgoing

if TYPE_CHECKING:
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


def request_of(campaign: Campaign, recipient: Recipient) -> Outgoing:
    """Return the event that asks for a recipient's message to be sent."""
    event = v1.MessageRequested(
        message_id=str(recipient.message_id),
        campaign_id=str(campaign.id),
        contact_id=str(recipient.contact_id),
        connection=campaign.connection,
        to=recipient.phone,
        text=personalised(campaign.text, recipient.name),
    )
    return Outgoing.of(
        MESSAGE_REQUESTED, f"{campaign.company}/{campaign.connection}", campaign.company, event
    )


def news_of(incoming: Incoming) -> News | None:
    """Return what an event tells about a message; None when it tells nothing that is counted here.

    Raises:
        ValueError: an id that is none; the event is set aside.
    """
    state = _state_of(incoming)
    if state is None or isinstance(incoming.event, v1.MessageRequested):
        return None
    event = incoming.event
    return News(incoming.company, UUID(event.campaign_id), UUID(event.message_id), state)


def _state_of(incoming: Incoming) -> State | None:
    match incoming.event:
        case v1.MessageAccepted():
            return State.ACCEPTED
        case v1.MessageFailed():
            return State.FAILED
        case v1.MessageUncertain():
            return State.UNCERTAIN
        case v1.StatusChanged(status=status):
            return _OF_STATUS.get(status)
        case _:
            return None
