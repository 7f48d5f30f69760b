"""Reaction to each Cloud API error code. HTTP status, titles and subcodes are ignored.

Only a definite error response returns a message to the queue. A message that may have arrived is never queued
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from services.whatsapp.domain.message_states import MessageState
from services.whatsapp.domain.sending import (
    Accepted,
    AttemptDecision,
    ConnectionState,
    MessageUpdate,
    NotSent,
    Rejected,
    Unknown,
)

if TYPE_CHECKING:
    from random import Random

    from services.whatsapp.domain.sending import SendOutcome


class ErrorClass(StrEnum):
    """Class of an error; a metric label, so there are few values."""

    CREDENTIAL = "credential"
    """The token or the registration of the number is rejected: the number is logged out."""
    ACCOUNT = "account"
    """The account is locked, restricted or not paid for: the number is banned."""
    LIMIT = "limit"
    """A limit of the provider is exceeded."""
    TRANSIENT = "transient"
    """The provider failed."""
    MESSAGE = "message"
    """The message or its recipient is rejected; codes without a rule belong here too."""
    NOT_SENT = "not_sent"
    """The provider could not be reached."""
    UNKNOWN = "unknown"
    """The provider did not answer: the outcome is unknown."""


class Reaction(StrEnum):
    """Reaction to an error code."""

    RETRY = "retry"
    """Retry the message with exponential backoff."""
    THROTTLE = "throttle"
    """Retry the message, and halve the rate of its connection."""
    SUSPEND = "suspend"
    """Retry the message later, and suspend its connection until then: the message is not the cause."""
    FAIL = "fail"
    """Fail the message permanently."""


@dataclass(frozen=True)
class Rule:
    """A reaction and its backoff.

    Attributes:
        error_class: class of the error.
        reaction: what to do.
        delay_seconds: first delay.
        backoff_factor: growth of the delay per attempt.
    """

    error_class: ErrorClass
    reaction: Reaction
    delay_seconds: float = 0.0
    backoff_factor: float = 2.0


_CREDENTIAL = Rule(ErrorClass.CREDENTIAL, Reaction.SUSPEND, 60)
_TRANSIENT = Rule(ErrorClass.TRANSIENT, Reaction.RETRY, 1)

RULES: dict[int, Rule] = {
    # Errors of the credential: every message of the number would be rejected, so no attempt is counted.
    **dict.fromkeys((0, 190, 3, 10, *range(200, 300), 131005), _CREDENTIAL),
    # Errors and limits of the account.
    **dict.fromkeys((131031, 368, 131042, 131064), Rule(ErrorClass.ACCOUNT, Reaction.SUSPEND, 600)),
    **dict.fromkeys((4, 80007), Rule(ErrorClass.LIMIT, Reaction.SUSPEND, 5)),
    # Errors and limits of the number.
    130429: Rule(ErrorClass.LIMIT, Reaction.THROTTLE, 1),
    131048: Rule(ErrorClass.LIMIT, Reaction.SUSPEND, 3600),
    133016: Rule(ErrorClass.LIMIT, Reaction.SUSPEND, 3600),
    131057: Rule(ErrorClass.TRANSIENT, Reaction.SUSPEND, 60),
    **dict.fromkeys((131037, 131045), Rule(ErrorClass.CREDENTIAL, Reaction.SUSPEND, 600)),
    # Rate limit of a pair of number and recipient.
    131056: Rule(ErrorClass.LIMIT, Reaction.RETRY, 1, backoff_factor=4),
    # Transient errors of the provider.
    **dict.fromkeys((1, 2, 131000, 131016, 135000), _TRANSIENT),
}
"""Codes without a rule fail the message: invalid requests, recipients, templates, and unknown codes."""

_PERMANENT = Rule(ErrorClass.MESSAGE, Reaction.FAIL)
_NOT_SENT = Rule(ErrorClass.NOT_SENT, Reaction.RETRY, 0.5)
_MAX_DELAY_SECONDS = 300.0


def error_class(outcome: SendOutcome) -> ErrorClass | None:
    """Return the class of the error of an attempt; None when the message was accepted."""
    match outcome:
        case Accepted():
            return None
        case Unknown():
            return ErrorClass.UNKNOWN
        case NotSent():
            return ErrorClass.NOT_SENT
        case Rejected(code):
            return RULES.get(code, _PERMANENT).error_class


def connection_state(suspension_code: int | None, *, throttled: bool) -> ConnectionState:
    """Return the state of a connection.

    Args:
        suspension_code: code of the error that suspends it; None when it is not suspended.
        throttled: whether its rate was lowered in the last minutes.
    """
    if suspension_code is None:
        return ConnectionState.THROTTLED if throttled else ConnectionState.ACTIVE
    states = {
        ErrorClass.CREDENTIAL: ConnectionState.LOGGED_OUT,
        ErrorClass.ACCOUNT: ConnectionState.BANNED,
    }
    return states.get(RULES.get(suspension_code, _PERMANENT).error_class, ConnectionState.LIMITED)


def decide(outcome: SendOutcome, attempts: int, max_attempts: int, rng: Random) -> AttemptDecision:
    """Return the decision on the outcome of an attempt.

    Args:
        outcome: outcome of the call.
        attempts: number of the attempt, from 0.
        max_attempts: a message that is rejected this often fails.
        rng: source of the backoff jitter.
    """
    match outcome:
        case Accepted(provider_id):
            return AttemptDecision(MessageUpdate(MessageState.ACCEPTED, provider_id=provider_id))
        case Unknown(reason):
            return AttemptDecision(MessageUpdate(MessageState.UNCERTAIN, reason=reason))
        case NotSent(reason):
            delay = _backoff_seconds(_NOT_SENT, attempts, rng)
            return AttemptDecision(MessageUpdate(MessageState.QUEUED, reason=reason, delay_seconds=delay))
        case Rejected():
            return _decide_rejected(outcome, attempts, max_attempts, rng)


def _decide_rejected(rejected: Rejected, attempts: int, max_attempts: int, rng: Random) -> AttemptDecision:
    rule = RULES.get(rejected.code, _PERMANENT)
    suspends = rule.reaction is Reaction.SUSPEND
    # A suspended number says nothing about its messages, so a suspension uses up no attempts.
    exhausted = not suspends and attempts + 1 >= max_attempts
    if rule.reaction is Reaction.FAIL or exhausted:
        update = MessageUpdate(MessageState.FAILED, code=rejected.code, reason=rejected.reason)
        return AttemptDecision(update)
    delay = _backoff_seconds(rule, attempts, rng)
    update = MessageUpdate(
        MessageState.QUEUED, code=rejected.code, reason=rejected.reason, delay_seconds=delay
    )
    return AttemptDecision(
        update,
        throttle=rule.reaction is Reaction.THROTTLE,
        suspend_seconds=delay if suspends else 0.0,
    )


def _backoff_seconds(rule: Rule, attempts: int, rng: Random) -> float:
    """Return the bounded exponential delay, with 25 % jitter so that messages do not return all at once."""
    growth = 1.0 if rule.reaction is Reaction.SUSPEND else rule.backoff_factor**attempts
    limit = max(_MAX_DELAY_SECONDS, rule.delay_seconds)
    return min(rule.delay_seconds * growth, limit) * rng.uniform(0.75, 1.25)
