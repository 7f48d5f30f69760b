"""A job sends no metrics."""

from __future__ import annotations

from runbooks.actions import WATCH
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("telemetry-missing", "Whether a job sends no metrics.")
STEPS = (*read_steps(CHECK), *change_steps(WATCH), *verify_steps(CHECK))
