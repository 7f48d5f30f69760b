"""The events that tell others what became of messages."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1.events_pb2 import (
    STATUS_DELIVERED,
    STATUS_READ,
    STATUS_SENT,
    MessageAccepted,
    MessageExpired,
    MessageFailed,
    MessageRecalled,
    MessageReport,
    MessagesReported,
    MessageUncertain,
    StatusChanged,
)
from services.kit.events import Outgoing, packed
from services.whatsapp.domain import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from services.whatsapp.domain import Result

_STATUS = {
    State.SENT: STATUS_SENT,
    State.DELIVERED: STATUS_DELIVERED,
    State.READ: STATUS_READ,
}


@dataclass(frozen=True)
class News:
    """What became of one message.

    Attributes:
        company: the tenant.
        campaign_id: whose message it is; empty for a reply.
        report: what is told.
    """

    company: str
    campaign_id: str
    report: MessageReport


def told(news: Iterable[News]) -> list[Outgoing]:
    """Return the events that tell the news, by campaign and in its order.

    They are keyed by campaign: one consumer at a time then changes its counts, and waits for nobody. News of
    replies are left out: they belong to no campaign, and who sent one asks for it.
    """
    reports: dict[tuple[str, str], list[MessageReport]] = defaultdict(list)
    for each in news:
        if each.campaign_id:
            reports[each.company, each.campaign_id].append(each.report)
    return [
        Outgoing.of(MESSAGE_STATUS, campaign_id, company, MessagesReported(reports=pack))
        for (company, campaign_id), all_of_it in reports.items()
        for pack in packed(all_of_it)
    ]


def of_result(result: Result) -> News | None:
    """Return the news of an attempt's verdict; a message that waits for another attempt has none."""
    claim, verdict = result.claim, result.decision.verdict
    if verdict.state not in {State.ACCEPTED, State.FAILED, State.UNCERTAIN}:
        return None
    return news_of(
        claim.company,
        claim.message_id,
        claim.campaign_id,
        verdict.state,
        provider_id=verdict.provider_id,
        code=verdict.code,
        reason=verdict.reason,
    )


def news_of(  # noqa: PLR0913 - the columns of a message
    company: str,
    message_id: UUID,
    campaign_id: str,
    state: State,
    *,
    provider_id: str | None = None,
    code: int | None = None,
    reason: str | None = None,
    run: int = 0,
) -> News:
    """Return the news of where a message is: climbed, doubtful, or not begun, under this run or for good."""
    about = {"message_id": str(message_id), "campaign_id": campaign_id}
    match state:
        case State.ACCEPTED:
            report = MessageReport(accepted=MessageAccepted(**about, provider_id=provider_id or ""))
        case State.FAILED:
            report = MessageReport(failed=MessageFailed(**about, code=code or 0, reason=reason or ""))
        case State.UNCERTAIN:
            report = MessageReport(uncertain=MessageUncertain(**about, reason=reason or ""))
        case State.RECALLED:
            report = MessageReport(recalled=MessageRecalled(**about, run=run))
        case State.EXPIRED:
            report = MessageReport(expired=MessageExpired(**about))
        case _:
            changed = StatusChanged(**about, status=_STATUS[state], code=code or 0)
            report = MessageReport(status_changed=changed)
    return News(company, campaign_id, report)
