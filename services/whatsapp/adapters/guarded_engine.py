"""An engine that spares a provider in trouble: calls without a definite answer open its breaker.

One breaker for all numbers, as they share the provider; what ails a single number holds that number (see
`outcomes`). A call that the breaker refuses was not made, so its message goes back to the queue; the
dispatcher asks the breaker for room before it claims, so that these are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.whatsapp.domain import NotReached, Unknown

if TYPE_CHECKING:
    from services.kit.breaker import Breaker
    from services.whatsapp.domain import Claim, Outcome
    from services.whatsapp.ports import Engine


class _TroubledError(Exception):
    """A call without a definite answer, on its way through the breaker that counts it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class GuardedEngine:
    """See `Engine`."""

    def __init__(self, engine: Engine, breaker: Breaker) -> None:
        self._engine = engine
        self._breaker = breaker

    async def send(self, claim: Claim) -> Outcome:
        """See `Engine`."""
        try:
            async with self._breaker.call():
                return await self._ask(claim)
        except _TroubledError as troubled:
            return troubled.outcome
        except TemporaryError as refusal:
            return NotReached(str(refusal))

    async def _ask(self, claim: Claim) -> Outcome:
        outcome = await self._engine.send(claim)
        if isinstance(outcome, NotReached | Unknown):
            raise _TroubledError(outcome)
        return outcome
