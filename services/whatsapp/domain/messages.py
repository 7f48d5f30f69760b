"""Messages as the API and the consumer see them, and the admission rule of replies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from services.kit.errors import OverloadedError

if TYPE_CHECKING:
    from datetime import datetime

    from services.whatsapp.domain.message_states import MessageState

MessageKey = tuple[str, UUID]
"""Company and message id."""
RunKey = tuple[str, str, str]
"""Company, campaign id and connection."""
MAX_WAIT_SECONDS = 30.0
"""A reply that would wait longer is rejected."""


@dataclass(frozen=True)
class MessageRecord:
    """A stored message.

    Attributes:
        connection: the company's name of the sending number.
        recipient: phone number of the recipient, E.164 with +.
        text: text of the message.
        state: current state.
        code: the provider's error code.
        reason: reason why the message failed or waits.
        requested_at: time of the request.
        accepted_at: time of acceptance by the provider.
        sent_at: time of the status `sent`.
        delivered_at: time of the status `delivered`.
        read_at: time of the status `read`.
        failed_at: time of the failure.
    """

    connection: str
    recipient: str
    text: str
    state: MessageState
    code: int | None
    reason: str | None
    requested_at: datetime
    accepted_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None


@dataclass(frozen=True)
class MessageOutcome:
    """State of a message that has left the queue, for its events.

    Attributes:
        company: the tenant.
        message_id: id given by the requester.
        campaign_id: the message's campaign; empty for a reply.
        state: current state.
        provider_id: the wamid, once known.
        code: the provider's error code.
        reason: reason why the message failed or is uncertain.
        run: run of the campaign that the message was requested under.
    """

    company: str
    message_id: UUID
    campaign_id: str
    state: MessageState
    provider_id: str | None = None
    code: int | None = None
    reason: str | None = None
    run: int = 0


@dataclass(frozen=True)
class ReplyLoad:
    """What the waiting time of a reply on a connection depends on.

    Attributes:
        rate: messages per second; None means the environment's default.
        throttle_factor: share of the rate in use.
        suspended_seconds: time until a suspension ends, 0 without one.
        replies_ahead: replies waiting on the connection, counted up to a limit.
    """

    rate: float | None
    throttle_factor: float
    suspended_seconds: float
    replies_ahead: int

    def check_wait(self, default_rate: float, ttl_seconds: float) -> None:
        """Reject a reply that would not be sent soon.

        Args:
            default_rate: messages per second of a connection without a rate.
            ttl_seconds: lifetime of the reply.

        Raises:
            OverloadedError: the reply would wait longer than its lifetime or `MAX_WAIT_SECONDS`.
        """
        rate = (self.rate or default_rate) * self.throttle_factor
        wait_seconds = self.suspended_seconds + self.replies_ahead / rate
        if wait_seconds > min(MAX_WAIT_SECONDS, ttl_seconds):
            raise OverloadedError(
                f"the reply would wait {wait_seconds:.0f} s on this connection",
                wait_seconds=wait_seconds,
                retry_after=max(1.0, math.ceil(wait_seconds - MAX_WAIT_SECONDS)),
            )
