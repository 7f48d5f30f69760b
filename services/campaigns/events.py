"""Mapping between domain objects and the Protobuf events of the contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from services.campaigns.domain.model import CampaignKey, MessageKey, MessageState
from services.campaigns.domain.templates import render
from services.contracts.topics import MESSAGE_REQUESTED
from services.contracts.v1 import events_pb2 as v1
from services.kit.kafka.envelope import OutboundEvent, batch_by_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from services.campaigns.domain.model import Campaign, Recipient
    from services.kit.kafka.envelope import InboundEvent

    ReceivedUpdate = (
        v1.MessageAccepted
        | v1.MessageFailed
        | v1.MessageUncertain
        | v1.MessageStatusChanged
        | v1.MessageReturned
        | v1.MessageExpired
    )

_STATE_BY_PROVIDER_STATUS = {
    v1.STATUS_SENT: MessageState.SENT,
    v1.STATUS_DELIVERED: MessageState.DELIVERED,
    v1.STATUS_READ: MessageState.READ,
    v1.STATUS_FAILED: MessageState.FAILED,
}
_STATE_BY_UPDATE_TYPE: dict[type, MessageState] = {
    v1.MessageAccepted: MessageState.ACCEPTED,
    v1.MessageFailed: MessageState.FAILED,
    v1.MessageUncertain: MessageState.UNCERTAIN,
    v1.MessageExpired: MessageState.EXPIRED,
}


@dataclass(frozen=True)
class StatusUpdate:
    """A reported state of a message.

    Attributes:
        message: the message.
        state: the reported state.
    """

    message: MessageKey
    state: MessageState


@dataclass(frozen=True)
class ReturnedMessage:
    """A message that was not sent under its run and will not be.

    Attributes:
        message: the message.
        run: run under which it was requested.
    """

    message: MessageKey
    run: int


def request_events(campaign: Campaign, recipients: Iterable[Recipient]) -> list[OutboundEvent]:
    """Return the events that request messages under the campaign's run.

    Args:
        campaign: the campaign with its run.
        recipients: contacts with their message ids.

    Returns:
        Batches of requests, each within the size limit of an event.
    """
    return [
        OutboundEvent.create(
            MESSAGE_REQUESTED, _key(campaign), campaign.company, v1.MessagesRequested(requests=requests)
        )
        for requests in batch_by_size(_request(campaign, recipient) for recipient in recipients)
    ]


def _request(campaign: Campaign, recipient: Recipient) -> v1.MessageRequested:
    request = v1.MessageRequested(
        message_id=str(recipient.message_id),
        campaign_id=str(campaign.id),
        contact_id=str(recipient.contact_id),
        connection=campaign.connection,
        to=recipient.phone,
        text=render(campaign, recipient),
        run=campaign.run,
    )
    if campaign.window_closes_at:
        request.send_before.FromDatetime(campaign.window_closes_at)
    if campaign.expires_at:
        request.expires_at.FromDatetime(campaign.expires_at)
    return request


def run_stopped_event(campaign: Campaign) -> OutboundEvent:
    """Return the event that stops the campaign's run and all earlier ones.

    It has the same key as the requests, and its writer has locked the plan under which they are written:
    therefore it follows all of them.
    """
    event = v1.CampaignRunStopped(
        campaign_id=str(campaign.id), connection=campaign.connection, run=campaign.run
    )
    return OutboundEvent.create(MESSAGE_REQUESTED, _key(campaign), campaign.company, event)


def _key(campaign: Campaign) -> str:
    return f"{campaign.company}/{campaign.connection}"


def status_updates_from(inbound: InboundEvent) -> Iterator[StatusUpdate | ReturnedMessage]:
    """Yield the message updates of an event; none for events that change no state.

    Raises:
        ValueError: an id is invalid; the event goes to the dead-letter topic.
    """
    if not isinstance(inbound.event, v1.MessageStatusesUpdated):
        return
    for update in _unpack(inbound.event):
        campaign = CampaignKey(inbound.company, UUID(update.campaign_id))
        message = MessageKey(campaign, UUID(update.message_id))
        if isinstance(update, v1.MessageReturned):
            yield ReturnedMessage(message, update.run)
        elif state := _state_of(update):
            yield StatusUpdate(message, state)


def _unpack(event: v1.MessageStatusesUpdated) -> Iterator[ReceivedUpdate]:
    for update in event.updates:
        if kind := update.WhichOneof("update"):
            yield getattr(update, kind)


def _state_of(update: ReceivedUpdate) -> MessageState | None:
    if isinstance(update, v1.MessageStatusChanged):
        return _STATE_BY_PROVIDER_STATUS.get(update.status)
    return _STATE_BY_UPDATE_TYPE.get(type(update))
