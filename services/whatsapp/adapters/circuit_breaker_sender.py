"""Message sender behind a circuit breaker: calls without a definite response open it.

All numbers share one breaker, as they share the provider; an error of a single number suspends that number
(see `domain.error_policy`). A call that the breaker rejects was not made, so its message returns to the
queue. The dispatcher asks the breaker for permits before it leases messages, so that few calls are rejected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.errors import TemporaryError
from services.whatsapp.domain.sending import NotSent, Unknown

if TYPE_CHECKING:
    from services.kit.circuit_breaker import CircuitBreaker
    from services.whatsapp.domain.sending import LeasedMessage, SendOutcome
    from services.whatsapp.ports import MessageSender


class _OutcomeError(Exception):
    """Carries an outcome without a definite response through the breaker, which counts it."""

    def __init__(self, outcome: SendOutcome) -> None:
        super().__init__()
        self.outcome = outcome


class CircuitBreakerSender:
    """See `ports.MessageSender`."""

    def __init__(self, sender: MessageSender, breaker: CircuitBreaker) -> None:
        self._sender = sender
        self._breaker = breaker

    async def send(self, message: LeasedMessage) -> SendOutcome:
        """See `ports.MessageSender.send`."""
        try:
            async with self._breaker.call():
                return await self._send_once(message)
        except _OutcomeError as error:
            return error.outcome
        except TemporaryError as error:
            return NotSent(str(error))

    async def _send_once(self, message: LeasedMessage) -> SendOutcome:
        outcome = await self._sender.send(message)
        if isinstance(outcome, NotSent | Unknown):
            raise _OutcomeError(outcome)
        return outcome
