"""A service logs one pattern far more often than before."""

from __future__ import annotations

from runbooks.actions import WATCH
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("log-pattern-exploded", "Whether a service logs one pattern far more often.")
STEPS = (*read_steps(CHECK), *change_steps(WATCH), *verify_steps(CHECK))
