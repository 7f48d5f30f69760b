"""Requests of the object store are slow."""

from __future__ import annotations

from runbooks.actions import read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.checks.cpu_pressure import CHECK as CPU
from runbooks.rules import rule_check

CHECK = rule_check("object-store-slow", "Whether requests of the object store are slow.")
STEPS = (*read_steps(CHECK, CPU), *change_steps(read_logs("object-store")), *verify_steps(CHECK))
