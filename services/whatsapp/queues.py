"""The queues of this domain, one per class of work."""

from __future__ import annotations

from services.kit.queue.job import QueueName, QueueRules

DISPATCH = QueueName("whatsapp", "dispatch")
"""Messages to be sent: a job is a message's id, its payload names the connection."""
QUEUES = {DISPATCH: QueueRules(lease_seconds=30, attempts=10, longest_pause=600)}
