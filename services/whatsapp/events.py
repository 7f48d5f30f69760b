"""The events that tell others what became of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1.events_pb2 import (
    STATUS_DELIVERED,
    STATUS_FAILED,
    STATUS_READ,
    STATUS_SENT,
    MessageAccepted,
    MessageExpired,
    MessageFailed,
    MessageRecalled,
    MessageUncertain,
    StatusChanged,
)
from services.kit.events import Outgoing
from services.whatsapp.domain import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from services.whatsapp.domain import Result

    News = (
        MessageAccepted | MessageExpired | MessageFailed | MessageRecalled | MessageUncertain | StatusChanged
    )

_STATUS = {
    State.SENT: STATUS_SENT,
    State.DELIVERED: STATUS_DELIVERED,
    State.READ: STATUS_READ,
    State.FAILED: STATUS_FAILED,
}


def for_campaigns(events: Iterable[Outgoing]) -> list[Outgoing]:
    """Leave out the news of replies: they belong to no campaign, and who sent one asks for it."""
    return [each for each in events if each.event.campaign_id]


def _news(company: str, event: News) -> Outgoing:
    """Key news by campaign: one consumer at a time then changes a campaign's counts, and waits for nobody."""
    return Outgoing.of(MESSAGE_STATUS, event.campaign_id, company, event)


def of_result(result: Result) -> Outgoing | None:
    """Return the event of an attempt's verdict; a message that waits for another attempt has none."""
    claim, verdict = result.claim, result.decision.verdict
    message, campaign = str(claim.message_id), claim.campaign_id
    event: News
    match verdict.state:
        case State.ACCEPTED:
            event = MessageAccepted(
                message_id=message, campaign_id=campaign, provider_id=verdict.provider_id or ""
            )
        case State.FAILED:
            event = MessageFailed(
                message_id=message, campaign_id=campaign, code=verdict.code or 0, reason=verdict.reason or ""
            )
        case State.UNCERTAIN:
            return uncertain(claim.company, claim.message_id, campaign, verdict.reason or "")
        case _:
            return None
    return _news(claim.company, event)


def uncertain(company: str, message_id: UUID, campaign_id: str, reason: str) -> Outgoing:
    """Return the event of a message of which nobody knows whether it went out."""
    event = MessageUncertain(message_id=str(message_id), campaign_id=campaign_id, reason=reason)
    return _news(company, event)


def handed_back(company: str, message_id: UUID, campaign_id: str, state: State, run: int) -> Outgoing:
    """Return the event of a message that was not begun: under this run, or, when it expired, for good."""
    message = str(message_id)
    event: News = MessageRecalled(message_id=message, campaign_id=campaign_id, run=run)
    if state is State.EXPIRED:
        event = MessageExpired(message_id=message, campaign_id=campaign_id)
    return _news(company, event)


def status_changed(
    company: str, message_id: UUID, campaign_id: str, state: State, code: int | None
) -> Outgoing:
    """Return the event of a message that callbacks moved up its ladder."""
    event = StatusChanged(
        message_id=str(message_id), campaign_id=campaign_id, status=_STATUS[state], code=code or 0
    )
    return _news(company, event)


def standing(  # noqa: PLR0913, PLR0917 - the columns of a message
    company: str,
    message_id: UUID,
    campaign_id: str,
    state: State,
    provider_id: str | None,
    code: int | None,
    reason: str | None,
    run: int,
) -> Outgoing:
    """Return the event that tells once more where a message is."""
    message = str(message_id)
    event: News
    match state:
        case State.ACCEPTED:
            event = MessageAccepted(
                message_id=message, campaign_id=campaign_id, provider_id=provider_id or ""
            )
        case State.FAILED:
            event = MessageFailed(
                message_id=message, campaign_id=campaign_id, code=code or 0, reason=reason or ""
            )
        case State.UNCERTAIN:
            return uncertain(company, message_id, campaign_id, reason or "")
        case State.RECALLED | State.EXPIRED:
            return handed_back(company, message_id, campaign_id, state, run)
        case _:
            return status_changed(company, message_id, campaign_id, state, code)
    return _news(company, event)
