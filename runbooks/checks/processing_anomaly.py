"""Processing differs from the same hour of former days."""

from __future__ import annotations

from runbooks.actions import WATCH, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("processing-anomaly", "Whether processing differs from the same hour of former days.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, read_logs("campaigns-planner", "whatsapp-dispatcher")),
    *verify_steps(CHECK),
)
