"""One table: Cloud API error code -> what to do. Status of HTTP, titles and subcodes decide nothing.

Only a definite error answer sends a message back to the queue. What may have arrived is never queued again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from services.whatsapp.domain import Accepted, Decision, NotReached, Refused, State, Unknown, Verdict

if TYPE_CHECKING:
    from random import Random

    from services.whatsapp.domain import Outcome


class Effect(StrEnum):
    """What an error asks of us."""

    RETRY = "retry"
    """Try this message again after a growing delay."""
    SLOW = "slow"
    """Try again, and send from this number at half the pace."""
    HOLD = "hold"
    """Try again later, and send nothing from this number until then: no message is at fault."""
    FAIL = "fail"
    """This message will never go out."""


@dataclass(frozen=True)
class Rule:
    """An effect and its first delay in seconds."""

    effect: Effect
    delay: float = 0.0
    factor: float = 2.0


_TOKEN = Rule(Effect.HOLD, 60)
_TRANSIENT = Rule(Effect.RETRY, 1)

RULES: dict[int, Rule] = {
    # the credential: every message of the number would be refused alike, so none of them is spent
    **dict.fromkeys((0, 190, 3, 10, *range(200, 300), 131005), _TOKEN),
    # the account
    **dict.fromkeys((131031, 368, 131042, 131064), Rule(Effect.HOLD, 600)),
    **dict.fromkeys((4, 80007), Rule(Effect.HOLD, 5)),
    # the number
    130429: Rule(Effect.SLOW, 1),
    131048: Rule(Effect.HOLD, 3600),
    133016: Rule(Effect.HOLD, 3600),
    131057: Rule(Effect.HOLD, 60),
    **dict.fromkeys((131037, 131045), Rule(Effect.HOLD, 600)),
    # the recipient
    131056: Rule(Effect.RETRY, 1, factor=4),
    # nobody's fault
    **dict.fromkeys((1, 2, 131000, 131016, 135000), _TRANSIENT),
}
"""Codes that are not here fail the message: bad requests, recipients, templates and all that is unknown."""

_TERMINAL = Rule(Effect.FAIL)
_UNREACHED = Rule(Effect.RETRY, 0.5)
_LONGEST_DELAY = 300.0


def decide(outcome: Outcome, attempts: int, most_attempts: int, rng: Random) -> Decision:
    """Turn the outcome of attempt number `attempts` (from 0) into what is done about it."""
    match outcome:
        case Accepted(provider_id):
            return Decision(Verdict(State.ACCEPTED, provider_id=provider_id))
        case Unknown(reason):
            return Decision(Verdict(State.UNCERTAIN, reason=reason))
        case NotReached(reason):
            delay = _backoff(_UNREACHED, attempts, rng)
            return Decision(Verdict(State.QUEUED, reason=reason, delay=delay))
        case Refused():
            return _refused(outcome, attempts, most_attempts, rng)


def _refused(refusal: Refused, attempts: int, most_attempts: int, rng: Random) -> Decision:
    rule = RULES.get(refusal.code, _TERMINAL)
    # A held number says nothing about its messages, so a hold never uses up their attempts.
    exhausted = rule.effect is not Effect.HOLD and attempts + 1 >= most_attempts
    if rule.effect is Effect.FAIL or exhausted:
        return Decision(Verdict(State.FAILED, code=refusal.code, reason=refusal.reason))
    delay = _backoff(rule, attempts, rng)
    verdict = Verdict(State.QUEUED, code=refusal.code, reason=refusal.reason, delay=delay)
    return Decision(
        verdict, slow=rule.effect is Effect.SLOW, hold=delay if rule.effect is Effect.HOLD else 0.0
    )


def _backoff(rule: Rule, attempts: int, rng: Random) -> float:
    """Return the delay in seconds: growing, bounded, and spread so that messages come back apart."""
    growth = 1.0 if rule.effect is Effect.HOLD else rule.factor**attempts
    return min(rule.delay * growth, max(_LONGEST_DELAY, rule.delay)) * rng.uniform(0.75, 1.25)
