"""No Redis server accepts writes."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import outage

CHECK = Check("redis-down", "Whether no Redis server accepts writes.", partial(outage, component="redis"))
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("redis")), *verify_steps(CHECK))
