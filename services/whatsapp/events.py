"""Events about messages, built from their state."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1.events_pb2 import (
    STATUS_DELIVERED,
    STATUS_READ,
    STATUS_SENT,
    MessageAccepted,
    MessageExpired,
    MessageFailed,
    MessageReturned,
    MessageStatusChanged,
    MessageStatusesUpdated,
    MessageStatusUpdate,
    MessageUncertain,
)
from services.kit.kafka.envelope import OutboundEvent, batch_by_size
from services.kit.observability.metrics import counter
from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.messages import MessageOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.kit.postgres.outbox import Outbox
    from services.whatsapp.domain.message_states import DeliveryState
    from services.whatsapp.domain.sending import AttemptResult

MESSAGES = counter(telemetry.MESSAGES)
_PROVIDER_STATUS = {
    MessageState.SENT: STATUS_SENT,
    MessageState.DELIVERED: STATUS_DELIVERED,
    MessageState.READ: STATUS_READ,
}


@dataclass(frozen=True)
class StatusUpdate:
    """Status update of one message.

    Attributes:
        company: the tenant.
        campaign_id: the message's campaign; empty for a reply.
        update: the update.
    """

    company: str
    campaign_id: str
    update: MessageStatusUpdate


def priority_label(*, is_reply: bool) -> str:
    """Return the value of the label `priority`."""
    return "reply" if is_reply else "campaign"


def count_states(states: Iterable[MessageState]) -> None:
    """Count messages that reached these states."""
    for state, count in Counter(states).items():
        MESSAGES.labels(state.value).inc(count)


def to_events(updates: Iterable[StatusUpdate]) -> list[OutboundEvent]:
    """Return the events of status updates, by campaign and in the order given.

    Events are keyed by campaign, so that one consumer at a time changes a campaign's counts, without waiting
    for locks. Updates of replies are left out: they belong to no campaign, and the caller polls their state.
    """
    by_campaign: dict[tuple[str, str], list[MessageStatusUpdate]] = defaultdict(list)
    for update in updates:
        if update.campaign_id:
            by_campaign[update.company, update.campaign_id].append(update.update)
    return [
        OutboundEvent.create(MESSAGE_STATUS, campaign_id, company, MessageStatusesUpdated(updates=batch))
        for (company, campaign_id), campaign_updates in by_campaign.items()
        for batch in batch_by_size(campaign_updates)
    ]


def from_attempt(result: AttemptResult) -> StatusUpdate | None:
    """Return the status update of an attempt; None when the message waits for another attempt."""
    message, update = result.message, result.decision.update
    if update.state not in {MessageState.ACCEPTED, MessageState.FAILED, MessageState.UNCERTAIN}:
        return None
    return to_status_update(
        MessageOutcome(
            message.company,
            message.message_id,
            message.campaign_id,
            update.state,
            provider_id=update.provider_id,
            code=update.code,
            reason=update.reason,
        )
    )


def from_delivery_state(state: DeliveryState) -> StatusUpdate:
    """Return the status update of a message whose delivery state changed."""
    return to_status_update(
        MessageOutcome(state.company, state.message_id, state.campaign_id, state.state, code=state.code)
    )


def to_status_update(outcome: MessageOutcome) -> StatusUpdate:
    """Return the status update of a message that is no longer queued."""
    identity = {"message_id": str(outcome.message_id), "campaign_id": outcome.campaign_id}
    code, reason = outcome.code or 0, outcome.reason or ""
    match outcome.state:
        case MessageState.ACCEPTED:
            accepted = MessageAccepted(**identity, provider_id=outcome.provider_id or "")
            update = MessageStatusUpdate(accepted=accepted)
        case MessageState.FAILED:
            update = MessageStatusUpdate(failed=MessageFailed(**identity, code=code, reason=reason))
        case MessageState.UNCERTAIN:
            update = MessageStatusUpdate(uncertain=MessageUncertain(**identity, reason=reason))
        case MessageState.RETURNED:
            update = MessageStatusUpdate(returned=MessageReturned(**identity, run=outcome.run))
        case MessageState.EXPIRED:
            update = MessageStatusUpdate(expired=MessageExpired(**identity))
        case _:
            changed = MessageStatusChanged(**identity, status=_PROVIDER_STATUS[outcome.state], code=code)
            update = MessageStatusUpdate(status_changed=changed)
    return StatusUpdate(outcome.company, outcome.campaign_id, update)


async def publish_returned(outbox: Outbox, outcomes: Sequence[MessageOutcome]) -> None:
    """Publish unsent messages that were returned or expired.

    Args:
        outbox: outbox of the transaction that returned them.
        outcomes: the messages.
    """
    count_states(outcome.state for outcome in outcomes)
    await outbox.add(to_events(to_status_update(outcome) for outcome in outcomes))
