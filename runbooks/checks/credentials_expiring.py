"""The credentials are too old."""

from __future__ import annotations

from runbooks.actions import ROTATE, WATCH
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("credentials-expiring", "Whether the credentials are too old.")
STEPS = (*read_steps(CHECK), *change_steps(WATCH, ROTATE), *verify_steps(CHECK))
