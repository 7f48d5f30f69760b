"""A Postgres server does not follow the primary."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import lost_redundancy

CHECK = Check(
    "postgres-replication-lag",
    "Whether a Postgres server does not follow the primary.",
    partial(lost_redundancy, component="postgres"),
)
STEPS = (*read_steps(CHECK), *change_steps(WATCH, START_CLUSTER, read_logs("postgres")), *verify_steps(CHECK))
