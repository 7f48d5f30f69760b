"""Values of a send attempt: the leased message, the outcome of the call, and the update it leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from services.whatsapp.domain.message_states import MessageState


@dataclass(frozen=True)
class ReadyConnection:
    """A connection with due messages, either replies or campaign messages.

    Attributes:
        company: the tenant.
        connection: the company's name of the number.
        replies: True for replies, False for campaign messages.
    """

    company: str
    connection: str
    replies: bool = False


@dataclass(frozen=True)
class LeasedMessage:
    """A message leased to one dispatcher.

    Attributes:
        company: the tenant.
        message_id: UUIDv7 given by the requester.
        campaign_id: the message's campaign, for its events; empty for a reply.
        phone_number_id: provider's id of the number to send from.
        connection: the company's name of that number.
        recipient: phone number of the recipient, E.164 with +.
        text: text of the message, at most 4096 characters.
        epoch: number of leases of this message; a write with an older epoch changes nothing.
        attempts: calls so far that ended with a definite "not accepted".
        waited_seconds: time since the message became due.
        traceparent: sampled trace of the request, in which this attempt is recorded; empty for none.
    """

    company: str
    message_id: UUID
    campaign_id: str
    phone_number_id: str
    connection: str
    recipient: str
    text: str
    epoch: int
    attempts: int
    waited_seconds: float = 0.0
    traceparent: str = ""

    @property
    def is_reply(self) -> bool:
        """Whether the message belongs to no campaign."""
        return not self.campaign_id


@dataclass(frozen=True)
class LeaseResult:
    """Result of leasing messages of some connections.

    Attributes:
        messages: leased messages, highest priority first.
        requeue: connections to push to the ready queue again, each with a delay in seconds: they have, or may
            have, more messages.
    """

    messages: list[LeasedMessage] = field(default_factory=list)
    requeue: list[tuple[ReadyConnection, float]] = field(default_factory=list)


class ConnectionState(StrEnum):
    """Whether a connection sends, and why not; a metric label."""

    ACTIVE = "active"
    THROTTLED = "throttled"
    """It sends more slowly, after rate limit errors in the last minutes."""
    LOGGED_OUT = "logged_out"
    """Suspended: the token or the registration is rejected."""
    BANNED = "banned"
    """Suspended: the account is locked, restricted or not paid for."""
    LIMITED = "limited"
    """Suspended for another reason, mostly a limit of the provider."""


@dataclass(frozen=True)
class SendingLoad:
    """State of the connections and of the queued messages, of all companies.

    Attributes:
        connections: number of connections by state.
        reply_age_seconds: time since the oldest due reply became due, of connections that may send.
        campaign_age_seconds: the same for campaign messages.
        connection_wait_seconds: longest time that a connection with due messages was not leased from.
    """

    connections: Mapping[ConnectionState, int]
    reply_age_seconds: float
    campaign_age_seconds: float
    connection_wait_seconds: float


@dataclass(frozen=True)
class Accepted:
    """The provider accepted the message. Delivery is confirmed by webhook."""

    provider_id: str


@dataclass(frozen=True)
class Rejected:
    """The provider's definite answer: not accepted.

    Attributes:
        code: the provider's error code.
        reason: reason on one line, without the text of the message.
    """

    code: int
    reason: str


@dataclass(frozen=True)
class NotSent:
    """The request cannot have reached the provider."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The request may have reached the provider, and no response arrived."""

    reason: str


SendOutcome = Accepted | Rejected | NotSent | Unknown


@dataclass(frozen=True)
class MessageUpdate:
    """Change of a message by a send attempt.

    Attributes:
        state: new state: `accepted`, `failed`, `uncertain`, or `queued` for another attempt.
        provider_id: the wamid of an accepted message.
        code: the provider's error code.
        reason: reason why the message failed, waits or is uncertain.
        delay_seconds: time until the next attempt, with `queued` only.
    """

    state: MessageState
    provider_id: str | None = None
    code: int | None = None
    reason: str | None = None
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class AttemptDecision:
    """What a send attempt changes in its message and its connection.

    Attributes:
        update: change of the message.
        throttle: whether the connection's throttle factor is halved.
        suspend_seconds: time that the connection sends nothing.
    """

    update: MessageUpdate
    throttle: bool = False
    suspend_seconds: float = 0.0


@dataclass(frozen=True)
class AttemptResult:
    """A decision and the leased message that it belongs to."""

    message: LeasedMessage
    decision: AttemptDecision
