"""The queues of this domain, one per class of work."""

from __future__ import annotations

from services.kit.queue.job import QueueConfig, QueueName

DISPATCH = QueueName("whatsapp", "dispatch")
"""Turns of connections that have something to send: replies before campaigns, companies in turn."""
QUEUES = {DISPATCH: QueueConfig(lease_seconds=10, max_attempts=10, aging_seconds=5)}
