"""Jobs wait in a queue for too long."""

from __future__ import annotations

from functools import partial

from runbooks.actions import WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.gauges import above
from services.contracts.telemetry import QUEUE_OLDEST_AGE

MAX_AGE_SECONDS = 60.0

CHECK = Check(
    "queue-backlog",
    "Whether a job has waited in a queue for more than a minute.",
    partial(above, metric=QUEUE_OLDEST_AGE, limit=MAX_AGE_SECONDS, reason="the oldest job of a queue waits"),
)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, read_logs("whatsapp-dispatcher", "whatsapp-worker")),
    *verify_steps(CHECK),
)
