"""News about messages, as the contracts carry them, and what they mean on the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.domain import CampaignKey, MessageKey, State
from services.campaigns.texts import text_for
from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.events import Outgoing, packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from services.campaigns.domain import Campaign, Recipient
    from services.kit.events import Event, Incoming

    Report = (
        v1.MessageAccepted
        | v1.MessageFailed
        | v1.MessageUncertain
        | v1.StatusChanged
        | v1.MessageRecalled
        | v1.MessageExpired
    )

_OF_STATUS = {
    v1.STATUS_SENT: State.SENT,
    v1.STATUS_DELIVERED: State.DELIVERED,
    v1.STATUS_READ: State.READ,
    v1.STATUS_FAILED: State.FAILED,
}
_OF_KIND: dict[type, State] = {
    v1.MessageAccepted: State.ACCEPTED,
    v1.MessageFailed: State.FAILED,
    v1.MessageUncertain: State.UNCERTAIN,
    v1.MessageExpired: State.EXPIRED,
}


@dataclass(frozen=True)
class News:
    """What became of a message.

    Attributes:
        message: which one.
        state: where this puts it.
    """

    message: MessageKey
    state: State


@dataclass(frozen=True)
class Recall:
    """A message that was not begun under its run, and will not be.

    Attributes:
        message: which one.
        run: under which it had been requested.
    """

    message: MessageKey
    run: int


def requests_of(campaign: Campaign, recipients: Iterable[Recipient]) -> list[Outgoing]:
    """Return the events that ask for recipients' messages to be sent, under the campaign's run."""
    return [
        Outgoing.of(
            MESSAGE_REQUESTED, _key(campaign), campaign.company, v1.MessagesRequested(requests=requests)
        )
        for requests in packed(_request(campaign, one) for one in recipients)
    ]


def _request(campaign: Campaign, recipient: Recipient) -> v1.MessageRequested:
    """Return what asks for one recipient's message."""
    request = v1.MessageRequested(
        message_id=str(recipient.message_id),
        campaign_id=str(campaign.id),
        contact_id=str(recipient.contact_id),
        connection=campaign.connection,
        to=recipient.phone,
        text=text_for(campaign, recipient),
        run=campaign.run,
    )
    if campaign.closes_at:
        request.not_after.FromDatetime(campaign.closes_at)
    if campaign.expires_at:
        request.expires_at.FromDatetime(campaign.expires_at)
    return request


def halt_of(campaign: Campaign) -> Outgoing:
    """Return the event that takes back the campaign's run and those before it.

    It has the key of the requests, and whoever writes it holds the plan that they are written under: so it
    comes after all of them.
    """
    event = v1.CampaignHalted(campaign_id=str(campaign.id), connection=campaign.connection, run=campaign.run)
    return Outgoing.of(MESSAGE_REQUESTED, _key(campaign), campaign.company, event)


def _key(campaign: Campaign) -> str:
    return f"{campaign.company}/{campaign.connection}"


def news_of(incoming: Incoming) -> Iterator[News | Recall]:
    """Yield what an event tells about messages; nothing, when it tells nothing that is counted here.

    Raises:
        ValueError: an id that is none; the event is set aside.
    """
    for report in _reports(incoming.event):
        campaign = CampaignKey(incoming.company, UUID(report.campaign_id))
        message = MessageKey(campaign, UUID(report.message_id))
        if isinstance(report, v1.MessageRecalled):
            yield Recall(message, report.run)
        elif state := _state_of(report):
            yield News(message, state)


def _reports(event: Event) -> Iterator[Report]:
    match event:
        case v1.MessagesReported(reports=reports):
            yield from (getattr(each, kind) for each in reports if (kind := each.WhichOneof("report")))
        case v1.MessagesRequested() | v1.MessageRequested() | v1.CampaignHalted():
            return
        case _:
            yield event


def _state_of(report: Report) -> State | None:
    if isinstance(report, v1.StatusChanged):
        return _OF_STATUS.get(report.status)
    return _OF_KIND.get(type(report))
