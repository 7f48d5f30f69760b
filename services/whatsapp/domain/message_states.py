"""States of a message, and how status updates from the provider change them.

The provider reports statuses more than once, in any order, hours late. The state is therefore not "the last
status": it is computed from the set of all statuses received so far, so that every order of arrival ends in
the same state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


class MessageState(StrEnum):
    """State of a message. From `accepted` on it reflects the provider, before that the own queue.

    `returned`: unsent, waits for another request. `expired`: unsent, will never be sent.
    """

    QUEUED = "queued"
    LEASED = "leased"
    RETURNED = "returned"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


class DeliveryStatus(StrEnum):
    """Status of a message in a webhook (`played`, of voice messages, counts as read)."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


_PRECEDENCE = {
    MessageState.QUEUED: 0,
    MessageState.LEASED: 0,
    MessageState.RETURNED: 0,
    MessageState.EXPIRED: 0,
    MessageState.UNCERTAIN: 0,
    MessageState.ACCEPTED: 1,
    MessageState.SENT: 2,
    MessageState.FAILED: 3,
    MessageState.DELIVERED: 4,
    MessageState.READ: 5,
}
"""`failed` ranks between `sent` and `delivered`: one phone that received it outweighs one that did not."""


def merge_states(current: MessageState, reported: DeliveryStatus) -> MessageState:
    """Return the state after a status update. The order of updates makes no difference.

    Args:
        current: state before.
        reported: status in the webhook.
    """
    proposed = MessageState(reported.value)
    return proposed if _PRECEDENCE[proposed] > _PRECEDENCE[current] else current


@dataclass(frozen=True)
class DeliveryState:
    """Delivery state of a message.

    Attributes:
        company: the tenant.
        message_id: id given by the requester.
        campaign_id: the message's campaign; empty for a reply.
        state: current state.
        provider_id: the wamid, once known.
        code: error code of a failure.
        status_times: time of each status, as the provider reported it first.
        attempt_age_seconds: time since the last send attempt; None if there was none.
        traceparent: sampled trace of the request, in which statuses are recorded; empty for none.
    """

    company: str
    message_id: UUID
    campaign_id: str
    state: MessageState
    provider_id: str | None
    code: int | None
    status_times: Mapping[DeliveryStatus, datetime]
    attempt_age_seconds: float | None = None
    traceparent: str = ""

    def apply_status(
        self, status: DeliveryStatus, occurred_at: datetime, provider_id: str, code: int | None
    ) -> DeliveryState:
        """Return the state after a status update; a repeated status returns this very object.

        Args:
            status: reported status.
            occurred_at: time by the provider's clock.
            provider_id: the wamid.
            code: error code of a `failed` status.
        """
        if status in self.status_times:
            return self
        state = merge_states(self.state, status)
        failed = state is MessageState.FAILED and status is DeliveryStatus.FAILED
        return replace(
            self,
            state=state,
            provider_id=self.provider_id or provider_id,
            code=code if failed else self.code,
            status_times={**self.status_times, status: occurred_at},
        )
