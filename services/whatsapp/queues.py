"""The queues of this domain, one per class of work."""

from __future__ import annotations

from services.kit.queue.job import QueueName, QueueRules

DISPATCH = QueueName("whatsapp", "dispatch")
"""Turns of connections that have something to send: replies before campaigns, companies in turn."""
QUEUES = {DISPATCH: QueueRules(lease_seconds=10, attempts=10, patience_seconds=5)}
