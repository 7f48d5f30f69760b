"""An engine that spares a provider in trouble: its breaker opens, and nothing is claimed until it may close.

One breaker for all numbers, as they share the provider; what ails a single number holds that number (see
`outcomes`). Failures are calls without a definite answer. A call that the breaker refuses was not made, so
its message goes back to the queue; the dispatcher asks `room` before it claims, so that these are few.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.whatsapp.domain import NotReached, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def __init__(self, engine: Engine, breaker: Breaker, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._breaker = breaker
        self._clock = clock
        self._refused = False
        self._closed_until = 0.0

    def room(self, wanted: int) -> int:
        """See `Engine`: none while the breaker is open, then one, to see."""
        if self._clock() < self._closed_until:
            return 0
        return min(wanted, 1) if self._refused else wanted

    async def send(self, claim: Claim) -> Outcome:
        """See `Engine`."""
        try:
            async with self._breaker.call():
                outcome = await self._ask(claim)
        except _TroubledError as troubled:
            return troubled.outcome
        except TemporaryError as refusal:
            self._refused = True
            self._closed_until = self._clock() + (refusal.retry_after or 0.0)
            return NotReached(str(refusal))
        self._refused = False
        return outcome

    async def _ask(self, claim: Claim) -> Outcome:
        outcome = await self._engine.send(claim)
        if isinstance(outcome, NotReached | Unknown):
            raise _TroubledError(outcome)
        return outcome
