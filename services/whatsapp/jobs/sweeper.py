"""The sweeper expires leases without a result and returns messages that may not be sent any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from services.contracts import telemetry
from services.kit.observability.metrics import counter
from services.kit.retry import sleep_unless_stopped
from services.whatsapp.events import count_states, publish_returned, to_events, to_status_update

if TYPE_CHECKING:
    import asyncio

    from services.whatsapp.ports import UnitOfWorkFactory

SWEEP_BATCH_SIZE = 500
"""Expired leases, and returned messages, in one transaction."""
NO_RESULT_REASON = "sent to the provider, and no result was recorded"
LEASES_EXPIRED = counter(telemetry.LEASES_EXPIRED)
log = logging.getLogger(__name__)


class Sweeper:
    """Background task for expired leases and unsent messages. Each batch is one transaction."""

    def __init__(self, uow_factory: UnitOfWorkFactory, *, interval_seconds: float) -> None:
        """Set up the sweeper.

        Args:
            uow_factory: starts transactions.
            interval_seconds: time between two sweeps.
        """
        self._uow_factory = uow_factory
        self._interval_seconds = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until stopped."""
        while not stop.is_set():
            while max(await self.expire_leases(), await self.return_unsent()) == SWEEP_BATCH_SIZE:
                continue
            await sleep_unless_stopped(stop, self._interval_seconds)

    async def expire_leases(self) -> int:
        """Mark attempts uncertain whose lease expired without a result; return how many."""
        async with self._uow_factory() as uow:
            uncertain = await uow.messages.expire_leases(SWEEP_BATCH_SIZE, NO_RESULT_REASON)
            await uow.outbox.add(to_events(to_status_update(outcome) for outcome in uncertain))
            await uow.commit()
        LEASES_EXPIRED.inc(len(uncertain))
        count_states(outcome.state for outcome in uncertain)
        if uncertain:
            log.warning("%d attempts are uncertain", len(uncertain), extra={"action": "expire_leases"})
        return len(uncertain)

    async def return_unsent(self) -> int:
        """Return queued messages of halted runs or past their time; return the larger of both numbers."""
        async with self._uow_factory() as uow:
            halted = await uow.messages.return_halted(SWEEP_BATCH_SIZE)
            expired = await uow.messages.return_expired(SWEEP_BATCH_SIZE)
            await publish_returned(uow.outbox, [*halted, *expired])
            await uow.commit()
        return max(len(halted), len(expired))
