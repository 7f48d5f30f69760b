"""The purger deletes old webhooks and old recipients of the daily quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.retry import sleep_unless_stopped

if TYPE_CHECKING:
    import asyncio

    from services.whatsapp.ports import UnitOfWorkFactory

PURGE_INTERVAL_SECONDS = 3600.0


class Purger:
    """Background task that purges once an hour."""

    def __init__(self, uow_factory: UnitOfWorkFactory, *, webhook_retention_seconds: float) -> None:
        """Set up the purger.

        Args:
            uow_factory: starts transactions.
            webhook_retention_seconds: time that a webhook is kept after it was processed.
        """
        self._uow_factory = uow_factory
        self._webhook_retention_seconds = webhook_retention_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Purge until stopped."""
        while not stop.is_set():
            await self.purge()
            await sleep_unless_stopped(stop, PURGE_INTERVAL_SECONDS)

    async def purge(self) -> int:
        """Delete expired rows; return their number."""
        async with self._uow_factory() as uow:
            deleted = await uow.webhooks.purge(self._webhook_retention_seconds)
            deleted += await uow.connections.purge_daily_recipients()
            await uow.commit()
        return deleted
