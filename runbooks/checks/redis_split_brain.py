"""Several Redis servers call themselves primary."""

from __future__ import annotations

from functools import partial

from runbooks.actions import WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import several_primaries

CHECK = Check(
    "redis-split-brain",
    "Whether several Redis servers act as primary.",
    partial(several_primaries, component="redis"),
)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, read_logs("redis")), *verify_steps(CHECK))
