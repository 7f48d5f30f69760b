"""Requests at the edge are slow."""

from __future__ import annotations

from runbooks.actions import WATCH, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("api-latency", "Whether requests at the edge are slow.")
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, read_logs("contacts-api", "campaigns-api", "whatsapp-api")),
    *verify_steps(CHECK),
)
