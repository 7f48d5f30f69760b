"""The reconciler pushes every connection with due messages to the ready queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kit.queue.job import BATCH
from services.kit.retry import sleep_unless_stopped
from services.whatsapp.ports import RESYNC_INTERVAL_SECONDS

if TYPE_CHECKING:
    import asyncio

    from services.whatsapp.ports import ReadyConnections, ReadyQueue


class ReadyQueueReconciler:
    """Background task that restores entries that Redis lost, or that became due without a notification."""

    def __init__(self, ready_connections: ReadyConnections, ready_queue: ReadyQueue) -> None:
        self._ready_connections = ready_connections
        self._ready_queue = ready_queue

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until stopped.

        Raises:
            TemporaryError: the database is unavailable.
        """
        while not stop.is_set():
            connections = await self._ready_connections.list_ready(BATCH)
            await self._ready_queue.push([(connection, 0.0) for connection in connections])
            await sleep_unless_stopped(stop, RESYNC_INTERVAL_SECONDS)
