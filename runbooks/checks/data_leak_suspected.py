"""A service answered with rows of another company."""

from __future__ import annotations

from runbooks.actions import ROTATE, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("data-leak-suspected", "Whether a service answered with rows of another company.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(read_logs("contacts-api", "campaigns-api", "whatsapp-api"), ROTATE),
    *verify_steps(CHECK),
)
