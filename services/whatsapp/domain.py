"""The ladder of a message and the rules by which reports and outcomes move it.

Reports of the provider come more than once, in any order, hours late. The state is therefore not "the last
report": it is computed from the set of all reports so far, so that any order of arrival ends in the same
state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


class State(StrEnum):
    """Where a message stands. From `accepted` on these are facts about the provider, before that ours.

    `recalled` was not begun and waits to be asked for again; `expired` was not begun and never will be.
    """

    QUEUED = "queued"
    CLAIMED = "claimed"
    RECALLED = "recalled"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


class Status(StrEnum):
    """What a callback can report of a message (`played`, of voice messages, counts as read)."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


_RANK = {
    State.QUEUED: 0,
    State.CLAIMED: 0,
    State.RECALLED: 0,
    State.EXPIRED: 0,
    State.UNCERTAIN: 0,
    State.ACCEPTED: 1,
    State.SENT: 2,
    State.FAILED: 3,
    State.DELIVERED: 4,
    State.READ: 5,
}
"""`failed` stands between `sent` and `delivered`: a phone that shows it outweighs one that could not."""


def merge(current: State, reported: Status) -> State:
    """Return the state after a report; the order in which reports arrive makes no difference."""
    proposed = State(reported.value)
    return proposed if _RANK[proposed] > _RANK[current] else current


@dataclass(frozen=True)
class Standing:
    """A message as its callbacks see it.

    Attributes:
        company: the tenant.
        message_id: ours.
        campaign_id: what it belongs to.
        state: where it stands.
        provider_id: the wamid, once known.
        code: error code of a failure.
        times: when each status was first reported to have happened.
    """

    company: str
    message_id: UUID
    campaign_id: str
    state: State
    provider_id: str | None
    code: int | None
    times: Mapping[Status, datetime]

    def after(self, status: Status, at: datetime, provider_id: str, code: int | None) -> Standing:
        """Return the standing after a report; one that was there before changes nothing."""
        if status in self.times:
            return self
        state = merge(self.state, status)
        return replace(
            self,
            state=state,
            provider_id=self.provider_id or provider_id,
            code=code if state is State.FAILED and status is Status.FAILED else self.code,
            times={**self.times, status: at},
        )


@dataclass(frozen=True)
class Claim:
    """A message that one dispatcher holds for a while.

    Attributes:
        company: the tenant.
        message_id: UUIDv7 given by the requester.
        campaign_id: what the message belongs to, told in its events.
        phone_number_id: the number it is to be sent from.
        connection: the company's name of that number.
        recipient: E.164 with +.
        text: at most 4096 characters.
        epoch: counts the claims of this message; a write with an older one changes nothing.
        attempts: calls made so far that were answered "not taken".
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


@dataclass(frozen=True)
class Turn:
    """A connection that has something to send.

    Attributes:
        company: the tenant.
        connection: its name of the number.
        replies: whether it is the turn of its replies, or of its campaigns.
    """

    company: str
    connection: str
    replies: bool = False


@dataclass(frozen=True)
class Claimed:
    """What some turns gave.

    Attributes:
        claims: messages to be sent.
        again: turns that are to come again, each after so many seconds: there is more to send, or may be.
    """

    claims: list[Claim] = field(default_factory=list)
    again: list[tuple[Turn, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Accepted:
    """The provider took the message; truth about delivery comes by callback."""

    provider_id: str


@dataclass(frozen=True)
class Refused:
    """The provider's definite answer: not taken.

    Attributes:
        code: the provider's error code.
        reason: one line for people, without the text of the message.
    """

    code: int
    reason: str


@dataclass(frozen=True)
class NotReached:
    """Nothing of the request can have reached the provider."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The request may have arrived and no answer came back."""

    reason: str


Outcome = Accepted | Refused | NotReached | Unknown


@dataclass(frozen=True)
class Verdict:
    """What is written about an attempt.

    Attributes:
        state: `accepted`, `failed`, `uncertain`, or `queued` for another attempt.
        provider_id: the wamid of an accepted message.
        code: the provider's error code.
        reason: why it failed, waits or is uncertain.
        delay: seconds until the next attempt, with `queued` only.
    """

    state: State
    provider_id: str | None = None
    code: int | None = None
    reason: str | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What is written about the message, and what becomes of its number.

    Attributes:
        verdict: written to the message.
        slow: the number's pace is halved.
        hold: seconds that nothing is sent from the number.
    """

    verdict: Verdict
    slow: bool = False
    hold: float = 0.0


@dataclass(frozen=True)
class Result:
    """A decision and the claim it was made under."""

    claim: Claim
    decision: Decision
