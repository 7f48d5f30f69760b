"""A running campaign makes no progress."""

from __future__ import annotations

from functools import partial

from runbooks.actions import WATCH, read_logs, restart
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.gauges import above
from services.contracts.telemetry import PLANNING_AGE

MAX_AGE_SECONDS = 60.0
"""A planner makes progress with every page of contacts, several times a second."""

CHECK = Check(
    "campaign-stuck",
    "Whether a campaign that is being planned has made no progress for a minute.",
    partial(above, metric=PLANNING_AGE, limit=MAX_AGE_SECONDS, reason="a campaign makes no progress"),
)
STEPS = (
    *read_steps(CHECK),
    *change_steps(
        WATCH, read_logs("campaigns-planner"), restart("deployment/campaigns-planner", "esq-services")
    ),
    *verify_steps(CHECK),
)
