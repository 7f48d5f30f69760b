"""Transactions of Postgres wait."""

from __future__ import annotations

from runbooks.actions import hand_over, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.checks.cpu_pressure import CHECK as CPU
from runbooks.checks.network_degraded import CHECK as NETWORK
from runbooks.rules import rule_check

CHECK = rule_check("postgres-slow", "Whether transactions of Postgres wait.")
STEPS = (
    *read_steps(CHECK, CPU, NETWORK),
    *change_steps(read_logs("postgres"), hand_over()),
    *verify_steps(CHECK),
)
