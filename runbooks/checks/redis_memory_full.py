"""Redis has used up its memory."""

from __future__ import annotations

from runbooks.actions import WATCH, read_logs
from runbooks.check import change_steps, read_steps, verify_steps
from runbooks.rules import rule_check

CHECK = rule_check("redis-memory-full", "Whether Redis has almost used up its memory.")
STEPS = (*read_steps(CHECK), *change_steps(WATCH, read_logs("redis")), *verify_steps(CHECK))
