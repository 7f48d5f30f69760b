"""No Postgres server accepts writes."""

from __future__ import annotations

from functools import partial

from runbooks.actions import START_CLUSTER, WATCH, hand_over, read_logs
from runbooks.check import Check, change_steps, read_steps, verify_steps
from runbooks.components import outage

CHECK = Check(
    "postgres-down", "Whether no Postgres server accepts writes.", partial(outage, component="postgres")
)
STEPS = (
    *read_steps(CHECK),
    *change_steps(WATCH, START_CLUSTER, read_logs("postgres"), hand_over()),
    *verify_steps(CHECK),
)
