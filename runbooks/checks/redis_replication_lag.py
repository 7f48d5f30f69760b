"""A Redis server does not follow the primary."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import lost_redundancy

CHECK = Check(
    "redis-replication-lag",
    "Whether a Redis server does not follow the primary.",
    partial(lost_redundancy, component="redis"),
)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("redis")), *verify_steps(CHECK))
