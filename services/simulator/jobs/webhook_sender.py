"""The webhook sender posts due statuses in batches, and repeats a webhook until the response is 200.

It removes due statuses and commits after they are posted. If it crashes before, they are still due, and
another replica posts them again: the receiver must tolerate that, as it must with the real provider.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.kit.retry import sleep_unless_stopped
from services.simulator.domain.statuses import webhook_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.simulator.ports import (
        DueWebhooks,
        FaultConfigs,
        ScheduledStatus,
        WebhookClient,
        WebhookSchedule,
    )

BATCH_SIZE = 500
"""Rows taken at once; a row holds the statuses of one second of one ledger batch."""
MAX_CONCURRENT_POSTS = 16
POLL_INTERVAL_SECONDS = 0.5
"""Statuses gather meanwhile and are posted in few webhooks."""
MAX_BACKOFF_SECONDS = 60.0
MAX_BACKOFF_EXPONENT = 16


class WebhookSender:
    """Background task that posts due statuses of all numbers."""

    def __init__(self, schedule: WebhookSchedule, client: WebhookClient, fault_configs: FaultConfigs) -> None:
        """Set up the sender.

        Args:
            schedule: schedule of the statuses.
            client: posts webhooks.
            fault_configs: limits the statuses per webhook.
        """
        self._schedule = schedule
        self._client = client
        self._fault_configs = fault_configs
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_POSTS)

    async def run(self, stop: asyncio.Event) -> None:
        """Post until stopped."""
        while not stop.is_set():
            await self.send_due()
            await sleep_unless_stopped(stop, POLL_INTERVAL_SECONDS)

    async def send_due(self) -> int:
        """Post the due statuses; return the number of delivered ones."""
        async with self._schedule.begin() as due:
            statuses = await due.pop(BATCH_SIZE)
            if not statuses:
                return 0
            batches = _split(statuses, self._fault_configs.current.statuses_per_webhook)
            delivered = await asyncio.gather(*(self._post(batch) for batch in batches))
            failed = [batch for batch, ok in zip(batches, delivered, strict=True) if not ok]
            await _postpone(due, failed)
            await due.commit()
        return len(statuses) - sum(map(len, failed))

    async def _post(self, batch: Sequence[ScheduledStatus]) -> bool:
        """Post one webhook; return whether the response was 200."""
        body = webhook_body(scheduled.status for scheduled in batch).encode()
        async with self._slots:
            return await self._client.post(body)


def backoff_seconds(attempts: int) -> float:
    """Return the delay before a webhook is repeated after this many failed attempts."""
    return float(min(MAX_BACKOFF_SECONDS, 2.0 ** min(attempts, MAX_BACKOFF_EXPONENT)))


def _split(statuses: Sequence[ScheduledStatus], size: int) -> list[Sequence[ScheduledStatus]]:
    return [statuses[start : start + size] for start in range(0, len(statuses), size)]


async def _postpone(due: DueWebhooks, batches: Sequence[Sequence[ScheduledStatus]]) -> None:
    """Schedule failed webhooks again."""
    for batch in batches:
        attempts = max(scheduled.attempts for scheduled in batch)
        await due.postpone([scheduled.status for scheduled in batch], attempts + 1, backoff_seconds(attempts))
